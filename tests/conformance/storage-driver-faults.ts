import { expect } from "vitest";
import type { LayerInfo, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { FAULT_MODES, type FaultMode, Faults } from "./faults.ts";
import type { Check } from "./storage-driver.ts";
import {
  A,
  B,
  C,
  type DriverFixture,
  type DriverHarness,
  LIMIT_BYTES,
  LIVE,
  mountOf,
  prepare,
  put,
  textOf,
} from "./storage-driver-fixture.ts";

/** More calls of ports than any method makes. */
const CALL_LIMIT = 200;

/** A call that changes something, and what must be so when it is done. */
interface Change {
  readonly needs?: "layers" | "sizeLimit";
  readonly before: (driver: StorageDriver, fixture: DriverFixture) => Promise<void>;
  readonly call: (driver: StorageDriver) => Promise<void>;
  readonly holds: (driver: StorageDriver, fixture: DriverFixture) => Promise<void>;
}

const nothing = async (): Promise<void> => undefined;
const withFile: Change["before"] = async (driver, fixture) => {
  await prepare(driver, A);
  await put(fixture, driver, A, "file", "kept");
};
const withCommitted: Change["before"] = async (driver, fixture) => {
  await withFile(driver, fixture);
  await driver.commit(A, B, LIVE);
};
const owner = { uid: 7, gid: 8, mode: 0o2750 };

const CHANGES: Readonly<Record<string, Change>> = {
  prepare: {
    before: nothing,
    call: (driver) => prepare(driver, A, { owner }),
    holds: async (driver, fixture) => {
      const root = await fixture.root(await mountOf(driver, A));
      expect(root).toEqual({ ...owner, names: [] });
    },
  },
  "prepare with a limit": {
    needs: "sizeLimit",
    before: nothing,
    call: (driver) => prepare(driver, A, { sizeBytes: LIMIT_BYTES, owner }),
    holds: isLimited,
  },
  "prepare from a parent": {
    needs: "layers",
    before: withCommitted,
    call: (driver) => prepare(driver, C, { parent: B }),
    holds: async (driver, fixture) => expect(await textOf(fixture, driver, C, "file")).toBe("kept"),
  },
  view: {
    needs: "layers",
    before: withCommitted,
    call: (driver) => driver.view(C, B, LIVE),
    holds: async (driver, fixture) => {
      expect(await textOf(fixture, driver, C, "file")).toBe("kept");
      const mount = await mountOf(driver, C);
      expect(await fixture.write(mount, "file", new Uint8Array(1))).toBe("EROFS");
    },
  },
  commit: {
    before: withFile,
    call: (driver) => driver.commit(A, B, LIVE),
    holds: hasContentOfB,
  },
  snapshot: {
    needs: "layers",
    before: withFile,
    call: (driver) => driver.snapshot(A, B, LIVE),
    holds: hasContentOfB,
  },
  "remove of an active layer": {
    before: withFile,
    call: (driver) => driver.remove(A, LIVE),
    holds: nothing,
  },
  "remove of a committed layer": {
    before: withCommitted,
    call: (driver) => driver.remove(B, LIVE),
    holds: nothing,
  },
  "resize to a limit": {
    needs: "sizeLimit",
    before: withFile,
    call: (driver) => driver.resize(A, LIMIT_BYTES, LIVE),
    holds: isLimited,
  },
  "resize to none": {
    needs: "sizeLimit",
    before: (driver) => prepare(driver, A, { sizeBytes: LIMIT_BYTES }),
    call: (driver) => driver.resize(A, null, LIVE),
    holds: async (driver, fixture) => {
      const large = new Uint8Array(2 * LIMIT_BYTES).fill(6);
      expect(await fixture.write(await mountOf(driver, A), "large", large)).toBe("written");
    },
  },
};

/** Sentences 1 to 3: each call of each method goes wrong once. */
export function storageDriverFaultTests(check: Check, harness: DriverHarness): void {
  const { traits } = harness;
  for (const [name, change] of Object.entries(CHANGES)) {
    const has = (): boolean => change.needs === undefined || traits[change.needs] !== false;
    for (const mode of harness.faultModes ?? FAULT_MODES) {
      check(
        `1, 2 ${name}: whatever call goes wrong (${mode}), all or nothing is there, and the same again does it`,
        ({ fixture }) => failEverywhere(fixture, change, mode),
        has,
      );
    }
    check(
      `3 ${name}: a power cut right after it takes nothing back`,
      ({ fixture, driver }) => cutPowerAfter(fixture, driver, change),
      has,
    );
  }
  check(
    "1, 5 open: whatever call goes wrong, the same again opens",
    () => failOpenEverywhere(harness),
    () => harness.faultModes?.length !== 0,
  );
}

async function failEverywhere(
  fixture: DriverFixture,
  change: Change,
  mode: FaultMode,
): Promise<void> {
  const faults = new Faults();
  for (let nth = 1; nth < CALL_LIMIT; nth++) {
    const healthy = await opened(fixture.driver());
    await change.before(healthy, fixture);
    const before = await healthy.list(LIVE);
    // Content that nobody synced is lost by a power cut, unless the call that is cut off was a commit that ended.
    const [first] = before;
    if (first?.kind === "active") await fixture.sync(await mountOf(healthy, first.id));

    const sick = fixture.driver(faults);
    faults.disarm();
    await sick.open(LIVE);
    faults.arm(nth, mode);
    await change.call(sick).catch(() => undefined);
    const fired = faults.fired;
    faults.disarm();

    if (mode === "power") await fixture.powerCut?.();
    const next = mode === "outage" ? sick : await opened(fixture.driver());
    if (mode !== "outage") expect(await fixture.leftovers(), `call ${nth}`).toEqual([]);
    const found = await next.list(LIVE);
    await change.call(next);
    const after = await next.list(LIVE);
    expect([before, after], `found after call ${nth}`).toContainEqual(found);
    expect(await fixture.leftovers(), `left after call ${nth}`).toEqual([]);
    await change.call(next);
    expect(await next.list(LIVE)).toEqual(after);
    await change.holds(next, fixture);
    await clear(next);
    if (!fired) return;
  }
  throw new Error(`More than ${CALL_LIMIT} calls`);
}

async function cutPowerAfter(
  fixture: DriverFixture,
  driver: StorageDriver,
  change: Change,
): Promise<void> {
  await change.before(driver, fixture);
  await change.call(driver);
  const after = await driver.list(LIVE);
  await fixture.powerCut?.();
  const next = await opened(fixture.driver());
  expect(await next.list(LIVE)).toEqual(after);
  await change.holds(next, fixture);
  await next.close(LIVE);
}

async function failOpenEverywhere(harness: DriverHarness): Promise<void> {
  for (let nth = 1; nth < CALL_LIMIT; nth++) {
    const fixture = await harness.fresh();
    try {
      const faults = new Faults();
      const sick = fixture.driver(faults);
      faults.arm(nth, nth % 2 === 0 ? "after" : "crash");
      await sick.open(LIVE).catch(() => undefined);
      const fired = faults.fired;
      faults.disarm();
      const reopened = await opened(fixture.driver());
      await prepare(reopened, A);
      expect((await reopened.list(LIVE)).map(({ id }: LayerInfo) => id)).toEqual([A]);
      await reopened.close(LIVE);
      if (!fired) return;
    } finally {
      await fixture.dispose();
    }
  }
  throw new Error(`More than ${CALL_LIMIT} calls`);
}

async function opened(driver: StorageDriver): Promise<StorageDriver> {
  await driver.open(LIVE);
  return driver;
}

/** Removes every layer, children first. */
async function clear(driver: StorageDriver): Promise<void> {
  for (const kind of ["active", "view", "committed"]) {
    for (const layer of await driver.list(LIVE)) {
      if (layer.kind === kind) await driver.remove(layer.id, LIVE);
    }
  }
}

async function isLimited(driver: StorageDriver, fixture: DriverFixture): Promise<void> {
  const large = new Uint8Array(2 * LIMIT_BYTES).fill(6);
  expect(await fixture.write(await mountOf(driver, A), "large", large)).not.toBe("written");
}

async function hasContentOfB(driver: StorageDriver, fixture: DriverFixture): Promise<void> {
  if (!driver.traits.layers) return;
  await driver.view(C, B, LIVE);
  expect(await textOf(fixture, driver, C, "file")).toBe("kept");
  await driver.remove(C, LIVE);
}
