import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DriverTraits, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { storageDriverContentTests } from "./storage-driver-content.ts";
import { storageDriverFaultTests } from "./storage-driver-faults.ts";
import {
  A,
  B,
  C,
  D,
  type DriverFixture,
  type DriverHarness,
  failedRecord,
  info,
  LIVE,
  laterRecord,
  mountOf,
  prepare,
  put,
  textIn,
  textOf,
  until,
} from "./storage-driver-fixture.ts";
import { storageDriverLayerTests } from "./storage-driver-layers.ts";
import { storageDriverLimitTests } from "./storage-driver-limits.ts";
import { storageDriverRootTests } from "./storage-driver-roots.ts";

/** What one test gets: storage, and an open driver over it. */
export interface Subject {
  readonly fixture: DriverFixture;
  readonly driver: StorageDriver;
  /** A new driver object over the same storage, opened, as after `kill -9`. */
  reopen(): Promise<StorageDriver>;
}

/** Adds one test; `needs` says for which drivers it has a meaning. */
export type Check = (
  title: string,
  body: (subject: Subject) => Promise<void>,
  needs?: (traits: DriverTraits) => boolean,
) => void;

/** Holds a driver to the numbered sentences of `StorageDriver`. */
export function storageDriverConformance(name: string, harness: DriverHarness): void {
  describe(`StorageDriver: ${name}`, () => {
    const unused = new Set(Object.keys(harness.exempt ?? {}));
    let fixture: DriverFixture;
    beforeEach(async () => {
      fixture = await harness.fresh();
    });
    afterEach(() => fixture.dispose());

    const check: Check = (title, body, needs = () => true) => {
      const reason = harness.exempt?.[title];
      unused.delete(title);
      if (reason !== undefined) {
        it.skip(`${title} (exempt: ${reason})`, () => undefined);
      } else if (needs(harness.traits)) {
        it(title, async () => {
          const driver = fixture.driver();
          await driver.open(LIVE);
          const reopen = async (): Promise<StorageDriver> => {
            const next = fixture.driver();
            await next.open(LIVE);
            return next;
          };
          await body({ fixture, driver, reopen });
        });
      }
    };

    poolTests(check, harness);
    prepareTests(check);
    storageDriverLimitTests(check, harness);
    storageDriverLayerTests(check);
    storageDriverRootTests(check);
    storageDriverContentTests(check, harness);
    lookTests(check, harness);
    storageDriverFaultTests(check, harness);
    it("exempts only tests that exist", () => expect([...unused]).toEqual([]));
  });
}

function poolTests(check: Check, harness: DriverHarness): void {
  check("traits are the promised ones, and facts say where the pool is", async ({ driver }) => {
    expect(driver.traits).toEqual(harness.traits);
    expect(driver.facts()).toHaveProperty("source");
  });
  check("2 an aborted call changes nothing", async ({ driver }) => {
    await prepare(driver, A);
    const stop = AbortSignal.abort(new Error("stop"));
    const options = { parent: null, sizeBytes: null, owner: { uid: 0, gid: 0, mode: 0o755 } };
    await expect(driver.prepare(B, options, stop)).rejects.toThrow("stop");
    await expect(driver.commit(A, C, stop)).rejects.toThrow("stop");
    await expect(driver.remove(A, stop)).rejects.toThrow("stop");
    expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
  });
  check("4 everything is unavailable before open", async ({ fixture }) => {
    await expectUnavailable(fixture.driver());
  });
  check("4 everything is unavailable after close", async ({ driver }) => {
    await driver.close(LIVE);
    await expectUnavailable(driver);
  });
  check(
    "4 everything is unavailable while the pool is faulted, and open mends it",
    async (subject) => {
      const { driver, fixture } = subject;
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "kept");
      await fixture.fault();
      await expectUnavailable(driver);
      expect(await driver.health(LIVE)).toMatchObject({ state: "faulted" });
      await fixture.mend();
      await driver.open(LIVE);
      expect(await driver.health(LIVE)).toEqual({ state: "up" });
      expect(await textOf(fixture, driver, A, "file")).toBe("kept");
    },
  );
  check("5 an open pool can be opened again, also by a new daemon", async (subject) => {
    const { driver, fixture, reopen } = subject;
    await prepare(driver, A);
    await put(fixture, driver, A, "file", "kept");
    await driver.open(LIVE);
    const next = await reopen();
    expect(await textOf(fixture, next, A, "file")).toBe("kept");
  });
  check(
    "6 what was there before close is there after the next open",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "kept");
      await driver.close(LIVE);
      await driver.close(LIVE);
      await driver.open(LIVE);
      expect(await textOf(fixture, driver, A, "file")).toBe("kept");
    },
  );
  check("7 health is up while it is open, faulted before", async ({ driver, fixture }) => {
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    expect(await fixture.driver().health(LIVE)).toMatchObject({ state: "faulted" });
  });
}

async function expectUnavailable(driver: StorageDriver): Promise<void> {
  const unavailable = { code: "unavailable" };
  await expect(prepare(driver, B)).rejects.toMatchObject(unavailable);
  await expect(driver.view(B, A, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.remove(A, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.mounts(A, { readOnly: true }, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.usage(A, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.resize(A, null, LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.list(LIVE)).rejects.toMatchObject(unavailable);
  await expect(driver.space(LIVE)).rejects.toMatchObject(unavailable);
}

function prepareTests(check: Check): void {
  check("8 preparing the same layer again keeps its content", async ({ driver, fixture }) => {
    await prepare(driver, A);
    await put(fixture, driver, A, "file", "kept");
    await prepare(driver, A, { owner: { uid: 7, gid: 7, mode: 0o700 } });
    expect(await textOf(fixture, driver, A, "file")).toBe("kept");
    expect(await fixture.root(await mountOf(driver, A))).toMatchObject({ uid: 0, mode: 0o755 });
  });
  check("8 preparing over a layer of another kind is refused", async ({ driver }) => {
    await prepare(driver, A);
    await driver.commit(A, B, LIVE);
    await expect(prepare(driver, B)).rejects.toMatchObject({ code: "already_exists" });
  });
  check(
    "25 a layer is there when it is on record, and not at all when it cannot be",
    async ({ driver }) => {
      const making = prepare(driver, A, { recorded: failedRecord() });
      await expect(making).rejects.toThrow("not on record");
      expect(await driver.list(LIVE)).toEqual([]);
      const { record, recorded } = laterRecord();
      const made = prepare(driver, A, { recorded });
      expect(await driver.list(LIVE)).toEqual([]);
      record();
      await made;
      expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
    },
  );
  check(
    "25, 29 a kept layer on a parent may be there before it is on record, and says so; it is not when it cannot be",
    async ({ driver }) => {
      await prepare(driver, A);
      await driver.commit(A, B, LIVE);
      const kept = {
        parent: B,
        sizeBytes: null,
        kept: true,
        owner: { uid: 0, gid: 0, mode: 0o755 },
      };
      const failing = driver.prepare(C, { ...kept, recorded: failedRecord() }, LIVE);
      await expect(failing).rejects.toThrow("not on record");
      expect(await driver.list(LIVE)).toEqual([info(B, "committed")]);
      const { record, recorded } = laterRecord();
      const made = driver.prepare(C, { ...kept, recorded }, LIVE);
      for (const one of await driver.list(LIVE)) expect(one.id === B || one.ahead).toBe(true);
      record();
      await made;
      expect(await driver.list(LIVE)).toMatchObject([
        info(B, "committed"),
        info(C, "active", { parent: B }),
      ]);
    },
    (traits) => traits.layers,
  );
  check("9 a parent is refused without the trait", refusesParent, (traits) => !traits.layers);
  check("11 a new root is empty, with exactly its owner and mode", async ({ driver, fixture }) => {
    const owners = [
      { uid: 0, gid: 0, mode: 0o755 },
      { uid: 1234, gid: 5678, mode: 0o3771 },
      { uid: 65534, gid: 0, mode: 0o0 },
      { uid: 1, gid: 2, mode: 0o7777 },
    ];
    for (const [index, owner] of owners.entries()) {
      const layer = [A, B, C, D][index] ?? A;
      await prepare(driver, layer, { owner });
      expect(await fixture.root(await mountOf(driver, layer))).toEqual({ ...owner, names: [] });
    }
  });
  check("15 a removed layer is gone, and can be made anew, empty", async ({ driver, fixture }) => {
    await prepare(driver, A);
    await put(fixture, driver, A, "file", "old");
    await driver.remove(A, LIVE);
    expect(await driver.list(LIVE)).toEqual([]);
    expect(await fixture.leftovers()).toEqual([]);
    await driver.remove(A, LIVE);
    await prepare(driver, A);
    expect((await fixture.root(await mountOf(driver, A))).names).toEqual([]);
  });
}

async function refusesParent({ driver }: Subject): Promise<void> {
  await prepare(driver, A);
  await driver.commit(A, B, LIVE);
  const unimplemented = { code: "unimplemented" };
  await expect(prepare(driver, C, { parent: B })).rejects.toMatchObject(unimplemented);
  await expect(driver.view(C, B, LIVE)).rejects.toMatchObject(unimplemented);
}

function lookTests(check: Check, { traits, sharesBytes }: DriverHarness): void {
  check("16 what is mounted takes writes, unless read-only was asked for", async (subject) => {
    const { driver, fixture } = subject;
    await prepare(driver, A);
    await put(fixture, driver, A, "file", "kept");
    const readOnly = await mountOf(driver, A, { readOnly: true });
    expect(readOnly.options).toContain("ro");
    expect(await fixture.write(readOnly, "file", new Uint8Array(1))).toBe("EROFS");
    expect(await textIn(fixture, readOnly, "file")).toBe("kept");
  });
  check(
    "16 a committed layer is mounted read-only alone, an absent one never",
    async ({ driver, fixture }) => {
      const options = { readOnly: true };
      await expect(driver.mounts(A, options, LIVE)).rejects.toMatchObject({ code: "not_found" });
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "kept");
      await driver.commit(A, B, LIVE);
      const refused = { code: "failed_precondition" };
      await expect(driver.mounts(B, { readOnly: false }, LIVE)).rejects.toMatchObject(refused);
      const mount = await mountOf(driver, B, options);
      expect(mount.options).toContain("ro");
      expect(await fixture.write(mount, "file", new Uint8Array(1))).toBe("EROFS");
      expect(await textIn(fixture, mount, "file")).toBe("kept");
    },
  );
  check("17 usage follows what is written", async ({ driver, fixture }) => {
    await expect(driver.usage(A, LIVE)).rejects.toMatchObject({ code: "not_found" });
    await prepare(driver, A);
    const empty = await driver.usage(A, LIVE);
    const bytes = 8 * 1024 ** 2;
    await fixture.write(await mountOf(driver, A), "large", new Uint8Array(bytes).fill(5));
    await fixture.sync(await mountOf(driver, A));
    await until(async () => {
      const usage = await driver.usage(A, LIVE);
      return (
        usage.referencedBytes - empty.referencedBytes >= bytes &&
        usage.exclusiveBytes - empty.exclusiveBytes >= bytes
      );
    });
    expect((await driver.usage(A, LIVE)).referencedBytes).toBeLessThan(1.1 * bytes);
  });
  check(
    "17 bytes that are shared are referenced by both and exclusive to none",
    async ({ driver, fixture }) => {
      const bytes = 8 * 1024 ** 2;
      await prepare(driver, A);
      await fixture.write(await mountOf(driver, A), "large", new Uint8Array(bytes).fill(5));
      await driver.snapshot(A, B, LIVE);
      for (const layer of [A, B]) {
        const usage = await driver.usage(layer, LIVE);
        expect(usage.referencedBytes).toBeGreaterThanOrEqual(bytes);
        expect(usage.exclusiveBytes).toBeLessThan(bytes / 8);
      }
    },
    () => sharesBytes ?? (traits.liveSnapshots === "atomic" && traits.instantUsage),
  );
  check("19 list tells every layer once, in id order", async ({ driver }) => {
    for (const layer of [C, A, D, B]) await prepare(driver, layer);
    expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A, B, C, D]);
  });
  check("space is of the file system", async ({ driver }) => {
    const { totalBytes, availableBytes } = await driver.space(LIVE);
    expect(totalBytes).toBeGreaterThan(0);
    expect(availableBytes).toBeGreaterThan(0);
    expect(availableBytes).toBeLessThanOrEqual(totalBytes);
  });
}
