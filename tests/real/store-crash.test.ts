import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";
import { HandClock } from "../conformance/hand-clock.ts";

const WRITER = join(import.meta.dirname, "store-writer.ts");
const clock = new HandClock();

let directory = "";
/** Each with the process that writes, when that is another one. */
const children = new Map<ChildProcess, Said>();
const mounts = new Set<string>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lagan-crash-"));
});
afterEach(async () => {
  for (const [child, { pid }] of children) {
    if (child.exitCode === null && child.signalCode === null) {
      // strace, killed, would let its process go on.
      process.kill(pid || (child.pid ?? 0), "SIGKILL");
      await once(child, "close");
    }
  }
  children.clear();
  for (const mount of [...mounts]) unmount(mount);
  rmSync(directory, { recursive: true });
});

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args);
}

function mount(...args: readonly string[]): string {
  const target = join(directory, "mnt");
  mkdirSync(target, { recursive: true });
  run("mount", ...args, target);
  mounts.add(target);
  return target;
}

function unmount(target: string): void {
  run("umount", target);
  mounts.delete(target);
}

/** What a writer process has said. */
interface Said {
  pid: number;
  /** Writer → the last count that it was told is written. */
  readonly acked: Map<string, number>;
  acks: number;
  /** Codes of what was lost. */
  readonly lost: string[];
  turns: number;
  after: string | undefined;
}

/** Runs a writer (see `store-writer.ts`), through `wrapper` if there is one, until it ends; `heard` is called after each line. */
async function write(
  path: string,
  writers: number,
  heard: (said: Said) => void = () => {},
  wrapper: readonly string[] = [],
  nth = 1,
): Promise<Said> {
  const said: Said = { pid: 0, acked: new Map(), acks: 0, lost: [], turns: 0, after: undefined };
  const [command = "", ...args] = [
    ...wrapper,
    process.execPath,
    WRITER,
    path,
    `${writers}`,
    `${nth}`,
  ];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.set(child, said);
  for await (const line of createInterface(child.stdout)) {
    const [word, first = "", second, code = ""] = line.split(" ");
    if (word === "pid") said.pid = Number(first);
    if (word === "ack") said.acked.set(first, Number(second));
    if (word === "ack") said.acks++;
    if (word === "lost") said.lost.push(code);
    if (word === "waited") said.turns = Number(first);
    if (word === "after") said.after = first;
    heard(said);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  return said;
}

/**
 * Every count of `acked` is in the file, and nothing beyond the one that each writer was at when it was stopped.
 * `last` is what was acknowledged at all, when that is more.
 */
async function expectKept(
  path: string,
  acked: ReadonlyMap<string, number>,
  last: ReadonlyMap<string, number> = acked,
): Promise<void> {
  const store = await SqliteStore.open({ path, clock });
  try {
    const { entries } = await store.list("");
    const kept = new Map(entries.map(({ key, value }) => [key, Number(value)]));
    for (const [writer, count] of acked) {
      const found = kept.get(writer) ?? 0;
      expect(found, `${writer} was told that ${count} is written`).toBeGreaterThanOrEqual(count);
      expect(found, writer).toBeLessThanOrEqual((last.get(writer) ?? 0) + 1);
    }
  } finally {
    await store.close();
  }
}

it("2 every acknowledged transaction survives kill -9, at whatever moment", async () => {
  const data = join(directory, "data");
  const copy = join(directory, "copy");
  mkdirSync(data);
  for (let round = 0; round < 10; round++) {
    const at = 1 + Math.floor(Math.random() * 200);
    // In every other round writing takes long, so that the kill falls into the middle of a commit.
    const slow = ["strace", "-f", "-o", "/dev/null", "-e", "inject=pwrite64:delay_enter=2000"];
    const { acked } = await write(
      join(data, "lagan.db"),
      1 + (round % 5) * 8,
      ({ acks, pid }) => {
        if (acks === at) process.kill(pid, "SIGKILL");
      },
      round % 2 === 0 ? [] : slow,
    );
    expect(acked.size).toBeGreaterThan(0);
    // After every other round it is the next writer that recovers what the kill has left.
    run("cp", "--recursive", data, copy);
    await expectKept(join(round % 2 === 0 ? data : copy, "lagan.db"), acked);
    rmSync(copy, { recursive: true });
  }
});

/** Writes with 16 writers to a disk that loses its power, and checks what it has after it. */
async function cutPower(nth: number): Promise<void> {
  let image = join(directory, "image");
  writeFileSync(image, "");
  truncateSync(image, 320 * 1024 ** 2);
  run("mkfs.xfs", "-q", image);
  let path = join(mount("-o", "loop", image), "lagan.db");
  for (const at of [1, 50, 500]) {
    let before: ReadonlyMap<string, number> | undefined;
    const said = await write(
      path,
      16,
      ({ acks, acked }) => {
        if (before !== undefined || acks < at) return;
        // What is acknowledged while the cut goes on counts for nothing: an fsync that is under way when XFS is shut
        // down can return 0 for data that never reached the log (Linux 6.18: about 1 plain fsync loop in 13, no store
        // in it). A real cut leaves nobody to be told.
        before = new Map(acked);
        // Drops what is not on disk, as a power cut does; from then on everything fails with EIO.
        run("xfs_io", "-x", "-c", "shutdown", join(directory, "mnt"));
      },
      [],
      nth,
    );
    expect(said.lost).toHaveLength(16);
    expect(said.after).toBe("unavailable");
    unmount(join(directory, "mnt"));
    // The disk as it was left, under another name: a mount namespace of somebody else may still hold the first one.
    const left = `${image}-${at}`;
    run("cp", "--sparse=always", image, left);
    rmSync(image);
    image = left;
    path = join(mount("-o", "loop,nouuid", image), "lagan.db");
    const durable = [...(before ?? [])].map(([writer, n]) => [writer, n - (n % nth)] as const);
    await expectKept(path, new Map(durable), said.acked);
    expect(before?.size).toBeGreaterThan(0);
  }
}

it("2 every acknowledged transaction survives a power cut", () => cutPower(1));

it("16 of those that need be durable only soon, what comes before one that is durable survives", () =>
  cutPower(8));

it("16 a sync that fails after the answer closes the store", async () => {
  const path = join(directory, "lagan.db");
  await (await SqliteStore.open({ path, clock })).close();
  const fault = "inject=fdatasync:error=EIO:when=3+";
  const trace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", fault];
  const said = await write(path, 4, undefined, trace, 1_000_000);
  expect(said.lost).toHaveLength(4);
  expect(new Set(said.lost)).toEqual(new Set(["unavailable"]));
  expect(said.after).toBe("unavailable");
  expect(said.acks).toBeGreaterThan(0);
  await expectKept(path, said.acked);
});

it("3 an I/O error at commit leaves the outcome unknown, and closes the store; only its callers wait", async () => {
  const path = join(directory, "lagan.db");
  await (await SqliteStore.open({ path, clock })).close();
  const calls = "fsync,fdatasync";
  const trace = ["strace", "-f", "-o", "/dev/null", "-e", `trace=${calls}`];
  // Before the first checkpoint, so that it is a commit that fails.
  const fault = `inject=${calls}:error=EIO:delay_enter=500000:when=12+`;
  const said = await write(path, 64, undefined, [...trace, "-e", fault]);
  expect(said.lost.filter((code) => code === "unknown").length).toBeGreaterThan(0);
  expect(new Set([...said.lost, "unavailable"])).toEqual(new Set(["unknown", "unavailable"]));
  expect(said.lost).toHaveLength(64);
  expect(said.after).toBe("unavailable");
  // One of at most 11 good fsyncs serves many transactions.
  expect(said.acks).toBeGreaterThan(100);
  // While the fsync took 500 ms, the process could look at the clock every 5 ms.
  expect(said.turns).toBeGreaterThan(20);
  await expectKept(path, said.acked);
});

it("a full file system refuses changes, and goes on when there is room again", async () => {
  const path = join(mount("-t", "tmpfs", "-o", "size=4m", "lagan-test"), "lagan.db");
  const filler = join(directory, "mnt", "filler");
  const store = await SqliteStore.open({ path, clock });
  try {
    await store.txn([], [{ do: "put", key: "kept", value: "1" }]);
    fill(filler);
    const value = "x".repeat(100_000);
    const calls = Array.from({ length: 30 }, (_, n) =>
      store.txn([], [{ do: "put", key: `k${n}`, value }]),
    );
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: "rejected", reason: { code: "resource_exhausted" } });
    }
    expect(await store.list("")).toMatchObject({ revision: 1, entries: [{ key: "kept" }] });
    rmSync(filler);
    const { revision } = await store.txn([], [{ do: "put", key: "k0", value }]);
    expect(revision).toBe(2);
    const before = await store.list("");
    await store.close();
    const again = await SqliteStore.open({ path, clock });
    expect(await again.list("")).toEqual(before);
    await again.close();
  } finally {
    await store.close();
  }
});

/** Takes what is left of the file system. */
function fill(path: string): void {
  const file = openSync(path, "w");
  try {
    for (;;) writeSync(file, Buffer.alloc(4_096));
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: "ENOSPC" });
  } finally {
    closeSync(file);
  }
}
