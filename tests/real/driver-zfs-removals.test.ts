import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { createZfsDriver } from "../../src/drivers/zfs/driver.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { type ZfsMachine, zfsMachine } from "./driver-zfs-fixture.ts";

const LIVE = new AbortController().signal;
const OWNER = { uid: 0, gid: 0, mode: 0o755 };
const [A, B, C, D, E] = [1, 2, 3, 4, 5].map(layerOf) as [
  LayerId,
  LayerId,
  LayerId,
  LayerId,
  LayerId,
];
const MIB = 1024 ** 2;

function layerOf(n: number): LayerId {
  return parseId<LayerId>(`01920000-0000-7000-8000-${`${n}`.padStart(12, "0")}`);
}

let machine: ZfsMachine;
let driver: StorageDriver;
beforeEach(async () => {
  machine = await zfsMachine();
  driver = opening();
  await driver.open(LIVE);
});
afterEach(() => machine.dispose());

function opening(): StorageDriver {
  return createZfsDriver(join(machine.directory, "pool"), { size: "512M" }, machine.ports);
}

function prepare(layer: LayerId, parent: LayerId | null = null): Promise<void> {
  return driver.prepare(layer, { parent, sizeBytes: null, owner: OWNER }, LIVE);
}

async function pathOf(layer: LayerId): Promise<string> {
  const { kind } = (await driver.list(LIVE)).find(({ id }) => id === layer) ?? {};
  const readOnly = kind !== "active";
  return (await driver.mounts(layer, { readOnly }, LIVE))[0]?.source ?? "";
}

async function write(layer: LayerId, text: string): Promise<void> {
  await writeFile(join(await pathOf(layer), "file"), text);
}

async function read(layer: LayerId): Promise<string> {
  return readFile(join(await pathOf(layer), "file"), "utf8");
}

/** Every dataset and snapshot of the pool but those that are always there. */
async function everything(): Promise<readonly string[]> {
  const argv = ["zfs", "list", "-H", "-r", "-t", "filesystem,snapshot", "-o", "name"] as const;
  const names = (await machine.command(...argv)).split("\n");
  return names.map((name) => name.split("/")[1] ?? "").filter((n) => !["", "anchor"].includes(n));
}

/** What another test's mount namespace keeps busy goes at a later removal. */
async function expectNothingLeft(): Promise<void> {
  const look = async (): Promise<readonly string[]> => {
    await driver.remove(layerOf(9), LIVE);
    return everything();
  };
  await expect.poll(look, { timeout: 40_000 }).toEqual([]);
}

async function usedBytes(): Promise<number> {
  await machine.command("zfs", "set", "test:synced=yes", await pool());
  return Number(await machine.command("zfs", "get", "-Hp", "-o", "value", "used", await pool()));
}

async function pool(): Promise<string> {
  return (await machine.command("zpool", "list", "-H", "-o", "name")).trim();
}

it("snapshots outlive their volume, which gives back what only it held", async () => {
  await prepare(A);
  await write(A, "one");
  await driver.snapshot(A, B, LIVE);
  const before = await usedBytes();
  await writeFile(join(await pathOf(A), "large"), Buffer.alloc(32 * MIB, 1));
  expect(await usedBytes()).toBeGreaterThan(before + 30 * MIB);
  await driver.remove(A, LIVE);
  expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([B]);
  await expect.poll(usedBytes, { timeout: 20_000 }).toBeLessThan(before + 2 * MIB);
  expect(await read(B)).toBe("one");
  driver = opening();
  await driver.open(LIVE);
  expect(await read(B)).toBe("one");
  await driver.remove(B, LIVE);
  await expectNothingLeft();
});

it("a removed snapshot's id and its volume's are free again while clones still need what they were", async () => {
  await prepare(A);
  await write(A, "one");
  await driver.snapshot(A, B, LIVE);
  await prepare(C, B);
  await driver.remove(B, LIVE);
  await driver.snapshot(A, B, LIVE);
  await driver.remove(B, LIVE);
  await driver.remove(A, LIVE);
  await prepare(A);
  await write(A, "new");
  await driver.snapshot(A, B, LIVE);
  expect(await Promise.all([A, B, C].map(read))).toEqual(["new", "new", "one"]);
  for (const layer of [C, A, B]) await driver.remove(layer, LIVE);
  await expectNothingLeft();
});

it("a volume stays mounted while what it was made from is removed", async () => {
  await prepare(A);
  await write(A, "one");
  await driver.snapshot(A, B, LIVE);
  await prepare(C, B);
  await driver.commit(A, D, LIVE);
  await prepare(E, D);
  const mountsOf = async (): Promise<readonly number[]> => {
    const points = (await Promise.all([C, E].map(pathOf))).map((path) => join(path, ".."));
    const table = await hostKernel.mountTable();
    return table.flatMap(({ id, mountPoint }) => (points.includes(mountPoint) ? [id] : []));
  };
  const before = await mountsOf();
  expect(before.length).toBe(2);
  for (const layer of [B, D]) await driver.remove(layer, LIVE);
  expect(await mountsOf()).toEqual(before);
  await write(C, "two");
  expect(await Promise.all([C, E].map(read))).toEqual(["two", "one"]);
});

it("what is no volume takes no writes where it is mounted either", async () => {
  await prepare(A);
  await write(A, "one");
  await driver.snapshot(A, B, LIVE);
  await driver.view(C, B, LIVE);
  await driver.commit(A, D, LIVE);
  for (const layer of [B, C, D]) {
    await expect(write(layer, "two")).rejects.toMatchObject({ code: "EROFS" });
  }
});

it("tells whether a volume has changed since its last snapshot, also after that is removed and its clone stays", async () => {
  await prepare(A);
  await write(A, "one");
  await driver.snapshot(A, B, LIVE);
  const changed = (): Promise<boolean> | undefined => driver.changedSince?.(A, B, LIVE);
  await usedBytes();
  expect(await changed()).toBe(false);
  await write(A, "two");
  await usedBytes();
  expect(await changed()).toBe(true);
  await driver.snapshot(A, C, LIVE);
  await prepare(D, C);
  await driver.remove(C, LIVE);
  expect(await changed()).toBe(true);
});

it("a chain of clones goes from either end", async () => {
  for (const order of [
    [A, B, C, D, E],
    [E, D, C, B, A],
    [C, A, E, B, D],
  ]) {
    await prepare(A);
    await write(A, "a");
    await driver.snapshot(A, B, LIVE);
    await prepare(C, B);
    await driver.snapshot(C, D, LIVE);
    await prepare(E, D);
    for (const [index, layer] of order.entries()) {
      await driver.remove(layer, LIVE);
      for (const left of order.slice(index + 1)) expect(await read(left)).toBe("a");
    }
    await expectNothingLeft();
  }
});

it("removing the only child of a committed layer makes its bytes its own again", async () => {
  await prepare(A);
  await writeFile(join(await pathOf(A), "file"), Buffer.alloc(8 * MIB, 1));
  await driver.commit(A, B, LIVE);
  await prepare(C, B);
  await driver.remove(C, LIVE);
  expect((await driver.usage(B, LIVE)).exclusiveBytes).toBeGreaterThan(8 * MIB);
});

it("whatever is made and removed in whatever order, every layer keeps its content, and nothing is left", async () => {
  const random = seeded(Number(process.env["SEED"] ?? "1"));
  const contents = new Map<LayerId, string>();
  let made = 100;
  const pick = (kinds: readonly string[], all: readonly { id: LayerId; kind: string }[]) => {
    const some = all.filter(({ kind }) => kinds.includes(kind));
    return some[Math.floor(random() * some.length)]?.id;
  };
  for (let step = 0; step < 60; step++) {
    const all = await driver.list(LIVE);
    expect(all.map(({ id }) => id)).toEqual([...contents.keys()].sort());
    const next = layerOf(made++);
    const active = pick(["active"], all);
    const parent = pick(["committed"], all);
    const dice = random();
    if (dice < 0.15 || active === undefined) {
      await prepare(next);
      await write(next, `new ${step}`);
      contents.set(next, `new ${step}`);
    } else if (dice < 0.35) {
      await driver.snapshot(active, next, LIVE);
      contents.set(next, contents.get(active) ?? "");
      await write(active, `changed ${step}`);
      contents.set(active, `changed ${step}`);
    } else if (dice < 0.45) {
      await driver.commit(active, next, LIVE);
      contents.set(next, contents.get(active) ?? "");
      contents.delete(active);
    } else if (dice < 0.65 && parent !== undefined) {
      if (dice < 0.6) await prepare(next, parent);
      else await driver.view(next, parent, LIVE);
      contents.set(next, contents.get(parent) ?? "");
    } else if (dice < 0.97) {
      const victim = pick(["active", "view", "committed"], all);
      if (victim === undefined) continue;
      await driver.remove(victim, LIVE);
      contents.delete(victim);
    } else {
      driver = opening();
      await driver.open(LIVE);
    }
    const looked = [...contents.keys()].filter(() => random() < 0.3);
    for (const layer of looked) expect(await read(layer), `step ${step}`).toBe(contents.get(layer));
  }
  for (const [layer, text] of contents) expect(await read(layer)).toBe(text);
  for (const layer of [...contents.keys()].sort(() => random() - 0.5)) {
    await driver.remove(layer, LIVE);
  }
  await expectNothingLeft();
});

/** Numbers from 0 to 1 (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
