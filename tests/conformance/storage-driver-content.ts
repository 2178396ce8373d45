import { linkSync, writeFileSync } from "node:fs";
import { appendFile, mkdir, opendir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { LayerId } from "../../src/core/id.ts";
import type { DriverTraits, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { countUpTo, lastRecord, RecordWriter, readRecords } from "./record-writer.ts";
import type { Check } from "./storage-driver.ts";
import {
  A,
  B,
  C,
  D,
  type DriverFixture,
  type DriverHarness,
  E,
  LIVE,
  mountOf,
  prepare,
} from "./storage-driver-fixture.ts";
import { describeTree, type TreeDescription } from "./tree-description.ts";
import { makeSampleTree, type TreeFeature } from "./tree-sample.ts";

/** Entries of the large directory. */
const MANY = 100_000;
/** Names of one file in it: file systems allow about 65,000. */
const NAMES_OF_ONE = 10_000;
/** Most that this process may grow by while a layer of so many entries is copied, in bytes. */
const GROWTH_BYTES = 96 * 1024 ** 2;
/** Snapshots taken in a row of a layer that is being written. */
const SNAPSHOTS = 10;
/** Records written between two of them. */
const RECORDS_BETWEEN = 5;

const READ = { readOnly: true };

/** Sentences 8, 12, 13 and 14, as far as they are about what a tree can hold; on a real disk. */
export function storageDriverContentTests(check: Check, harness: DriverHarness): void {
  const can = (traits: DriverTraits): boolean => harness.onDisk === true && traits.layers;
  const isLive = (traits: DriverTraits): boolean => can(traits) && traits.liveSnapshots !== false;
  const lacks = new Set(Object.keys(harness.contentLacks ?? {}) as TreeFeature[]);
  check(
    "8, 12, 13, 14 every layer made from another has all that a tree can hold",
    ({ driver, fixture }) => keepsWholeTrees(driver, fixture, lacks),
    can,
  );
  check(
    "8 a layer from a parent changes alone, also through a hard link",
    ({ driver, fixture }) => changesAlone(driver, fixture),
    can,
  );
  check(
    "8, 14 a directory with very many entries is kept, in little memory",
    ({ driver, fixture }) => keepsManyEntries(driver, fixture),
    can,
  );
  check(
    "14 a snapshot of a layer that is being written has what was synced before it, and no gap",
    ({ driver, fixture }) => keepsHistory(driver, fixture),
    isLive,
  );
}

async function keepsWholeTrees(
  driver: StorageDriver,
  fixture: DriverFixture,
  lacks: ReadonlySet<TreeFeature>,
): Promise<void> {
  await prepare(driver, A);
  const sample = await fixture.reach(await mountOf(driver, A), async (root) => {
    await makeSampleTree(root, lacks);
    return describeTree(root);
  });
  expect(Object.keys(sample.entries).length).toBeGreaterThan(80 - 4 * lacks.size);
  const expectWhole = async (layer: LayerId): Promise<void> =>
    expect(await describe(driver, fixture, layer), `layer ${layer}`).toEqual(sample);
  await driver.snapshot(A, B, LIVE);
  await expectWhole(B);
  await prepare(driver, C, { parent: B });
  await expectWhole(C);
  await driver.view(D, B, LIVE);
  await expectWhole(D);
  await driver.commit(C, E, LIVE);
  await expectWhole(E);
  await expectWhole(A);
}

async function changesAlone(driver: StorageDriver, fixture: DriverFixture): Promise<void> {
  await prepare(driver, A);
  await fixture.reach(await mountOf(driver, A), async (root) => {
    await mkdir(join(root, "directory"));
    writeFileSync(join(root, "one"), "base");
    linkSync(join(root, "one"), join(root, "directory", "other"));
  });
  await driver.commit(A, B, LIVE);
  await prepare(driver, C, { parent: B });
  await fixture.reach(await mountOf(driver, C), async (root) => {
    await appendFile(join(root, "one"), " and more");
    expect(await readFile(join(root, "directory", "other"), "utf8")).toBe("base and more");
  });
  await fixture.reach(await mountOf(driver, B, READ), async (root) => {
    expect(await readFile(join(root, "one"), "utf8")).toBe("base");
    expect(await readFile(join(root, "directory", "other"), "utf8")).toBe("base");
  });
}

async function keepsManyEntries(driver: StorageDriver, fixture: DriverFixture): Promise<void> {
  await prepare(driver, A);
  await fixture.reach(await mountOf(driver, A), async (root) => {
    await mkdir(join(root, "many"));
    let first = "";
    for (let index = 0; index < MANY; index++) {
      const path = join(root, "many", `entry-${index}`);
      if (index % NAMES_OF_ONE === 0) {
        writeFileSync(path, `${index}`);
        first = path;
      } else linkSync(first, path);
    }
  });
  const beforeBytes = process.memoryUsage.rss();
  let mostBytes = 0;
  const watch = setInterval(() => {
    mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
  }, 10);
  try {
    await driver.snapshot(A, B, LIVE);
    await prepare(driver, C, { parent: B });
  } finally {
    clearInterval(watch);
  }
  expect(mostBytes - beforeBytes).toBeLessThan(GROWTH_BYTES);
  const names = await fixture.reach(await mountOf(driver, C), async (root) => {
    const found = new Set<string>();
    for await (const { name } of await opendir(join(root, "many"))) found.add(name);
    expect(await readFile(join(root, "many", `entry-${MANY - 1}`), "utf8")).toBe(
      `${MANY - NAMES_OF_ONE}`,
    );
    return found;
  });
  expect(names.size).toBe(MANY);
}

async function keepsHistory(driver: StorageDriver, fixture: DriverFixture): Promise<void> {
  await prepare(driver, A);
  await fixture.reach(await mountOf(driver, A), async (root) => {
    const writer = await RecordWriter.start(root);
    try {
      for (let round = 0; round < SNAPSHOTS; round++) {
        await writer.more(RECORDS_BETWEEN);
        const before = writer.acknowledged;
        await driver.snapshot(A, B, LIVE);
        const after = writer.begun;
        const counts = await fixture.reach(await mountOf(driver, B, READ), readRecords);
        for (const [file, count] of counts.entries()) {
          expect(count).toBeGreaterThanOrEqual(countUpTo(before, file));
          expect(count).toBeLessThanOrEqual(countUpTo(after, file));
        }
        if (driver.traits.liveSnapshots !== "per-file") {
          expect(lastRecord(counts)).toBeGreaterThanOrEqual(before);
        }
        await driver.remove(B, LIVE);
      }
    } finally {
      await writer.stop();
    }
    expect(lastRecord(await readRecords(root))).toBe(writer.acknowledged);
  });
}

async function describe(
  driver: StorageDriver,
  fixture: DriverFixture,
  layer: LayerId,
): Promise<TreeDescription> {
  return fixture.reach(await mountOf(driver, layer, READ), describeTree);
}
