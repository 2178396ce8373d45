import { expect } from "vitest";
import type { DriverTraits } from "../../src/core/ports/storage-driver.ts";
import type { Check, Subject } from "./storage-driver.ts";
import {
  A,
  B,
  C,
  type DriverHarness,
  fill,
  info,
  LIMIT_BYTES,
  LIVE,
  mountOf,
  prepare,
  until,
} from "./storage-driver-fixture.ts";

const hasLayers = (traits: DriverTraits): boolean => traits.layers;
const hasLimits = (traits: DriverTraits): boolean => traits.sizeLimit !== false;

/** Sentences 8, 9 and 18, as far as they are about size limits. */
export function storageDriverLimitTests(check: Check, { traits }: DriverHarness): void {
  const errno = traits.sizeLimit === false ? undefined : traits.sizeLimit.errno;
  check("9 a size limit is refused without the trait", refusesLimit, (has) => !hasLimits(has));
  check(
    "8 the limit stops the writer, not its neighbour, and deleting makes room",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await prepare(driver, B);
      const [limited, neighbour] = [await mountOf(driver, A), await mountOf(driver, B)];
      const { outcome, bytes } = await fill(fixture, limited, 4 * LIMIT_BYTES);
      expect(outcome).toBe(errno);
      expect(bytes).toBeGreaterThan(LIMIT_BYTES / 2);
      expect(bytes).toBeLessThanOrEqual(LIMIT_BYTES);
      const large = new Uint8Array(2 * LIMIT_BYTES).fill(1);
      expect(await fixture.write(neighbour, "large", large)).toBe("written");
      for (const name of (await fixture.root(limited)).names) await fixture.unlink(limited, name);
      const again = new Uint8Array(LIMIT_BYTES / 2).fill(2);
      await until(async () => (await fixture.write(limited, "again", again)) === "written");
    },
    hasLimits,
  );
  check(
    "8 preparing again brings the size to what is asked",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await prepare(driver, A, { sizeBytes: 2 * LIMIT_BYTES });
      expect(await driver.list(LIVE)).toEqual([info(A, "active", { sizeBytes: 2 * LIMIT_BYTES })]);
      const { outcome, bytes } = await fill(fixture, await mountOf(driver, A), 8 * LIMIT_BYTES);
      expect(outcome).toBe(errno);
      expect(bytes).toBeGreaterThan(LIMIT_BYTES);
    },
    hasLimits,
  );
  check("18 the limit can grow, shrink and go, also of a full layer", resizes(errno), hasLimits);
  check(
    "18 a limit below what is there is refused and changes nothing",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: 2 * LIMIT_BYTES });
      await fixture.write(await mountOf(driver, A), "x", new Uint8Array(LIMIT_BYTES).fill(1));
      const refused = { code: "failed_precondition" };
      await expect(driver.resize(A, LIMIT_BYTES / 2, LIVE)).rejects.toMatchObject(refused);
      await expect(prepare(driver, A, { sizeBytes: LIMIT_BYTES / 2 })).rejects.toMatchObject(
        refused,
      );
      expect(await driver.list(LIVE)).toEqual([info(A, "active", { sizeBytes: 2 * LIMIT_BYTES })]);
    },
    hasLimits,
  );
  check("18 only an active layer can be resized", async ({ driver }) => {
    await expect(driver.resize(A, null, LIVE)).rejects.toMatchObject({ code: "not_found" });
    await prepare(driver, A);
    await driver.resize(A, null, LIVE);
    await driver.commit(A, B, LIVE);
    const refused = { code: "failed_precondition" };
    await expect(driver.resize(B, null, LIVE)).rejects.toMatchObject(refused);
  });
  check(
    "18 a limit holds after the pool was closed and opened by a new daemon",
    async ({ driver, fixture, reopen }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await driver.close(LIVE);
      const next = await reopen();
      const { outcome } = await fill(fixture, await mountOf(next, A), 4 * LIMIT_BYTES);
      expect(outcome).toBe(errno);
    },
    hasLimits,
  );
  check(
    "8 a layer from a snapshot of a limited layer has no limit unless it is given one",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await driver.snapshot(A, B, LIVE);
      await prepare(driver, C, { parent: B });
      const { outcome } = await fill(fixture, await mountOf(driver, C), 2 * LIMIT_BYTES);
      expect(outcome).toBe("written");
    },
    (traits) => hasLimits(traits) && traits.layers,
  );
  check(
    "18 a layer from a parent has a limit of its own",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await fixture.write(await mountOf(driver, A), "x", new Uint8Array(LIMIT_BYTES / 2).fill(1));
      await driver.commit(A, B, LIVE);
      const small = prepare(driver, C, { parent: B, sizeBytes: LIMIT_BYTES / 4 });
      await expect(small).rejects.toMatchObject({ code: "failed_precondition" });
      expect(await driver.list(LIVE)).toEqual([info(B, "committed")]);
      expect(await fixture.leftovers()).toEqual([]);
      await prepare(driver, C, { parent: B, sizeBytes: LIMIT_BYTES });
      const { outcome, bytes } = await fill(fixture, await mountOf(driver, C), 4 * LIMIT_BYTES);
      expect(outcome).not.toBe("written");
      expect(bytes).toBeLessThanOrEqual(LIMIT_BYTES / 2);
    },
    (traits) => hasLayers(traits) && hasLimits(traits),
  );
}

async function refusesLimit({ driver }: Subject): Promise<void> {
  const refused = { code: "failed_precondition" };
  await expect(prepare(driver, A, { sizeBytes: LIMIT_BYTES })).rejects.toMatchObject(refused);
  expect(await driver.list(LIVE)).toEqual([]);
  await prepare(driver, A);
  await expect(driver.resize(A, LIMIT_BYTES, LIVE)).rejects.toMatchObject(refused);
  await driver.resize(A, null, LIVE);
}

function resizes(errno: string | undefined): (subject: Subject) => Promise<void> {
  return async ({ driver, fixture }) => {
    await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
    const mount = await mountOf(driver, A);
    expect((await fill(fixture, mount, 4 * LIMIT_BYTES)).outcome).toBe(errno);
    await driver.resize(A, 2 * LIMIT_BYTES, LIVE);
    expect(await driver.list(LIVE)).toEqual([info(A, "active", { sizeBytes: 2 * LIMIT_BYTES })]);
    const more = new Uint8Array(LIMIT_BYTES / 2).fill(3);
    expect(await fixture.write(mount, "more", more)).toBe("written");
    await driver.resize(A, null, LIVE);
    expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
    const lots = new Uint8Array(3 * LIMIT_BYTES).fill(4);
    expect(await fixture.write(mount, "lots", lots)).toBe("written");
    for (const name of (await fixture.root(mount)).names) await fixture.unlink(mount, name);
    await until(async () => {
      await driver.resize(A, LIMIT_BYTES, LIVE).catch(() => undefined);
      return (await driver.list(LIVE))[0]?.sizeBytes === LIMIT_BYTES;
    });
    expect((await fill(fixture, mount, 4 * LIMIT_BYTES)).outcome).toBe(errno);
  };
}
