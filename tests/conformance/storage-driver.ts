import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DriverTraits, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { storageDriverFaultTests } from "./storage-driver-faults.ts";
import {
  A,
  B,
  C,
  D,
  type DriverFixture,
  type DriverHarness,
  fill,
  info,
  LIMIT_BYTES,
  LIVE,
  prepare,
  put,
  sourceOf,
  textOf,
} from "./storage-driver-fixture.ts";

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

const hasLayers = (traits: DriverTraits): boolean => traits.layers;
const hasLimits = (traits: DriverTraits): boolean => traits.sizeLimit !== false;
const hasSnapshots = (traits: DriverTraits): boolean => traits.liveSnapshots !== false;

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
          await driver.close(LIVE);
        });
      }
    };

    poolTests(check, harness);
    prepareTests(check);
    limitTests(check, harness);
    commitTests(check);
    parentTests(check);
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
    expect(await fixture.root(await sourceOf(driver, A))).toMatchObject({ uid: 0, mode: 0o755 });
  });
  check("8 preparing over a layer of another kind is refused", async ({ driver }) => {
    await prepare(driver, A);
    await driver.commit(A, B, LIVE);
    await expect(prepare(driver, B)).rejects.toMatchObject({ code: "already_exists" });
  });
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
      expect(await fixture.root(await sourceOf(driver, layer))).toEqual({ ...owner, names: [] });
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
    expect((await fixture.root(await sourceOf(driver, A))).names).toEqual([]);
  });
}

async function refusesParent({ driver }: Subject): Promise<void> {
  await prepare(driver, A);
  await driver.commit(A, B, LIVE);
  const unimplemented = { code: "unimplemented" };
  await expect(prepare(driver, C, { parent: B })).rejects.toMatchObject(unimplemented);
  await expect(driver.view(C, B, LIVE)).rejects.toMatchObject(unimplemented);
}

function limitTests(check: Check, { traits }: DriverHarness): void {
  const errno = traits.sizeLimit === false ? undefined : traits.sizeLimit.errno;
  check("9 a size limit is refused without the trait", refusesLimit, (has) => !hasLimits(has));
  check(
    "8 the limit stops the writer, not its neighbour, and deleting makes room",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await prepare(driver, B);
      const [limited, neighbour] = [await sourceOf(driver, A), await sourceOf(driver, B)];
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
      const { outcome, bytes } = await fill(fixture, await sourceOf(driver, A), 8 * LIMIT_BYTES);
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
      await fixture.write(await sourceOf(driver, A), "x", new Uint8Array(LIMIT_BYTES).fill(1));
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
      const { outcome } = await fill(fixture, await sourceOf(next, A), 4 * LIMIT_BYTES);
      expect(outcome).toBe(errno);
    },
    hasLimits,
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
    const source = await sourceOf(driver, A);
    expect((await fill(fixture, source, 4 * LIMIT_BYTES)).outcome).toBe(errno);
    await driver.resize(A, 2 * LIMIT_BYTES, LIVE);
    expect(await driver.list(LIVE)).toEqual([info(A, "active", { sizeBytes: 2 * LIMIT_BYTES })]);
    const more = new Uint8Array(LIMIT_BYTES / 2).fill(3);
    expect(await fixture.write(source, "more", more)).toBe("written");
    await driver.resize(A, null, LIVE);
    expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
    const lots = new Uint8Array(3 * LIMIT_BYTES).fill(4);
    expect(await fixture.write(source, "lots", lots)).toBe("written");
    for (const name of (await fixture.root(source)).names) await fixture.unlink(source, name);
    await until(async () => {
      await driver.resize(A, LIMIT_BYTES, LIVE).catch(() => undefined);
      return (await driver.list(LIVE))[0]?.sizeBytes === LIMIT_BYTES;
    });
    expect((await fill(fixture, source, 4 * LIMIT_BYTES)).outcome).toBe(errno);
  };
}

function commitTests(check: Check): void {
  check("13 commit gives the layer its new id and no limit", async ({ driver, reopen }) => {
    await prepare(driver, A);
    await driver.commit(A, B, LIVE);
    await driver.commit(A, B, LIVE);
    expect(await driver.list(LIVE)).toEqual([info(B, "committed")]);
    expect(await (await reopen()).list(LIVE)).toEqual([info(B, "committed")]);
  });
  check("13 commit needs an active layer and a free id", async ({ driver }) => {
    await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject({ code: "not_found" });
    await prepare(driver, A);
    await prepare(driver, B);
    await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject({ code: "already_exists" });
    await driver.commit(A, C, LIVE);
    await expect(driver.commit(B, C, LIVE)).rejects.toMatchObject({ code: "already_exists" });
    await expect(driver.commit(C, D, LIVE)).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await driver.list(LIVE)).toEqual([info(B, "active"), info(C, "committed")]);
  });
  check(
    "14 a snapshot keeps the content of its instant, and the layer goes on",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "one");
      await driver.snapshot(A, B, LIVE);
      await put(fixture, driver, A, "file", "two");
      await driver.snapshot(A, B, LIVE);
      expect(await driver.list(LIVE)).toEqual([info(A, "active"), info(B, "committed")]);
      await driver.view(C, B, LIVE);
      expect(await textOf(fixture, driver, C, "file")).toBe("one");
      expect(await textOf(fixture, driver, A, "file")).toBe("two");
    },
    (traits) => hasSnapshots(traits) && hasLayers(traits),
  );
  check(
    "14 a snapshot needs an active layer and a free id",
    async ({ driver }) => {
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject({ code: "not_found" });
      await prepare(driver, A);
      await prepare(driver, B);
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject({ code: "already_exists" });
      await driver.commit(A, C, LIVE);
      const refused = { code: "failed_precondition" };
      await expect(driver.snapshot(C, D, LIVE)).rejects.toMatchObject(refused);
    },
    hasSnapshots,
  );
  check(
    "14 a snapshot is refused without the trait",
    async ({ driver }) => {
      await prepare(driver, A);
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject({ code: "unimplemented" });
    },
    (traits) => !hasSnapshots(traits),
  );
}

function parentTests(check: Check): void {
  check(
    "8 a layer from a parent has its content and root, and changes alone",
    async ({ driver, fixture }) => {
      const owner = { uid: 11, gid: 22, mode: 0o1750 };
      await prepare(driver, A, { owner });
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await prepare(driver, C, { parent: B });
      await prepare(driver, D, { parent: B });
      const root = await fixture.root(await sourceOf(driver, C));
      expect(root).toEqual({ ...owner, names: ["file"] });
      await put(fixture, driver, C, "file", "changed");
      expect(await textOf(fixture, driver, D, "file")).toBe("base");
      await driver.view(A, B, LIVE);
      expect(await textOf(fixture, driver, A, "file")).toBe("base");
    },
    hasLayers,
  );
  check(
    "10 a parent must be there and committed",
    async ({ driver }) => {
      const absent = { code: "not_found" };
      await expect(prepare(driver, B, { parent: A })).rejects.toMatchObject(absent);
      await expect(driver.view(B, A, LIVE)).rejects.toMatchObject(absent);
      await prepare(driver, A);
      const refused = { code: "failed_precondition" };
      await expect(prepare(driver, B, { parent: A })).rejects.toMatchObject(refused);
      await expect(driver.view(B, A, LIVE)).rejects.toMatchObject(refused);
      expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
    },
    hasLayers,
  );
  check(
    "12 a view is read-only, and exists once",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await driver.view(C, B, LIVE);
      await driver.view(C, B, LIVE);
      expect(await driver.list(LIVE)).toEqual([
        info(B, "committed"),
        info(C, "view", { parent: B }),
      ]);
      const [mount] = await driver.mounts(C, { readOnly: false }, LIVE);
      expect(mount?.options).toEqual(["ro"]);
      expect(await fixture.write(mount?.source ?? "", "file", new Uint8Array(1))).toBe("EROFS");
      await expect(prepare(driver, C, { parent: B })).rejects.toMatchObject({
        code: "already_exists",
      });
    },
    hasLayers,
  );
  check(
    "15 a parent cannot be removed, and the refusal names a child",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await prepare(driver, C, { parent: B });
      await expect(driver.remove(B, LIVE)).rejects.toMatchObject({
        code: "failed_precondition",
        detail: { child: C },
      });
      expect(await textOf(fixture, driver, C, "file")).toBe("base");
      await driver.remove(C, LIVE);
      await driver.remove(B, LIVE);
      expect(await driver.list(LIVE)).toEqual([]);
    },
    hasLayers,
  );
  check(
    "18 a layer from a parent has a limit of its own",
    async ({ driver, fixture }) => {
      await prepare(driver, A, { sizeBytes: LIMIT_BYTES });
      await fixture.write(await sourceOf(driver, A), "x", new Uint8Array(LIMIT_BYTES / 2).fill(1));
      await driver.commit(A, B, LIVE);
      const small = prepare(driver, C, { parent: B, sizeBytes: LIMIT_BYTES / 4 });
      await expect(small).rejects.toMatchObject({ code: "failed_precondition" });
      expect(await driver.list(LIVE)).toEqual([info(B, "committed")]);
      expect(await fixture.leftovers()).toEqual([]);
      await prepare(driver, C, { parent: B, sizeBytes: LIMIT_BYTES });
      const { outcome, bytes } = await fill(fixture, await sourceOf(driver, C), 4 * LIMIT_BYTES);
      expect(outcome).not.toBe("written");
      expect(bytes).toBeLessThanOrEqual(LIMIT_BYTES / 2);
    },
    (traits) => hasLayers(traits) && hasLimits(traits),
  );
}

function lookTests(check: Check, { traits }: DriverHarness): void {
  check("16 mounts answers a bind, read-only when asked", async ({ driver }) => {
    await prepare(driver, A);
    const [writable] = await driver.mounts(A, { readOnly: false }, LIVE);
    const [readOnly] = await driver.mounts(A, { readOnly: true }, LIVE);
    expect(writable).toMatchObject({ type: "bind", options: [] });
    expect(readOnly).toEqual({ ...writable, options: ["ro"] });
  });
  check("16 a committed layer or an absent one has no mounts", async ({ driver }) => {
    const options = { readOnly: true };
    await expect(driver.mounts(A, options, LIVE)).rejects.toMatchObject({ code: "not_found" });
    await prepare(driver, A);
    await driver.commit(A, B, LIVE);
    const refused = { code: "failed_precondition" };
    await expect(driver.mounts(B, options, LIVE)).rejects.toMatchObject(refused);
  });
  check("17 usage follows what is written", async ({ driver, fixture }) => {
    await expect(driver.usage(A, LIVE)).rejects.toMatchObject({ code: "not_found" });
    await prepare(driver, A);
    const empty = await driver.usage(A, LIVE);
    const bytes = 8 * 1024 ** 2;
    await fixture.write(await sourceOf(driver, A), "large", new Uint8Array(bytes).fill(5));
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
      await fixture.write(await sourceOf(driver, A), "large", new Uint8Array(bytes).fill(5));
      await driver.snapshot(A, B, LIVE);
      for (const layer of [A, B]) {
        const usage = await driver.usage(layer, LIVE);
        expect(usage.referencedBytes).toBeGreaterThanOrEqual(bytes);
        expect(usage.exclusiveBytes).toBeLessThan(bytes / 8);
      }
    },
    () => traits.liveSnapshots === "atomic" && traits.instantUsage,
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

/** Waits until something holds that follows its cause late, as a file system's books do. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  await expect.poll(holds, { timeout: 40_000, interval: 50 }).toBe(true);
}
