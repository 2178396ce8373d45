import { execFile } from "node:child_process";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { makeSeats } from "../../src/core/together.ts";
import { createLoopDriver } from "../../src/drivers/loop/driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { Faults } from "../conformance/faults.ts";
import { lastRecord, RecordWriter, readRecords } from "../conformance/record-writer.ts";
import { Scratch } from "./driver-disk.ts";
import { liveSnapshots } from "./live-snapshots.ts";

const run = promisify(execFile);
const LIVE = new AbortController().signal;
const ports: DriverPorts = { files: hostFiles, kernel: hostKernel, exec: hostExec };
const MIB = 1024 ** 2;
const XFS = ["mkfs.xfs", "-q", "-m", "reflink=1"] as const;
const EXT4 = ["mkfs.ext4", "-q"] as const;
const [A, B, C, D] = ["a", "b", "c", "d"].map((digit) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${digit}`),
) as [LayerId, LayerId, LayerId, LayerId];
const REFUSED = { code: "failed_precondition" };

let scratch: Scratch;
/** Image of the host's disk, and the pool's directory on it. */
let disk: string;
let pool: string;

beforeEach(async () => {
  scratch = await Scratch.make();
});
afterEach(() => scratch.dispose());

async function opened(
  mkfs: readonly [string, ...string[]],
  options: Readonly<Record<string, string>>,
): Promise<StorageDriver> {
  disk = await scratch.image("disk.img", mkfs);
  pool = join(await scratch.mount(disk), "pool");
  const driver = createLoopDriver(pool, options, ports);
  await driver.open(LIVE);
  return driver;
}

function prepare(driver: StorageDriver, layer: LayerId, parent: LayerId | null = null) {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  return driver.prepare(layer, { parent, sizeBytes: null, owner }, LIVE);
}

/** A layer that is a block device, of 8 MiB. */
function prepareBlock(driver: StorageDriver, layer: LayerId, parent: LayerId | null = null) {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  return driver.prepare(layer, { parent, sizeBytes: 8 * MIB, owner, block: true }, LIVE);
}

/** Works in a layer's root, which is mounted meanwhile. */
async function within<T>(
  driver: StorageDriver,
  layer: LayerId,
  work: (root: string) => Promise<T>,
  readOnly = false,
): Promise<T> {
  const [mount] = await driver.mounts(layer, { readOnly }, LIVE);
  if (mount === undefined) throw new Error("a layer has a mount");
  return scratch.reach(mount, work);
}

describe("a layer that is a block device", () => {
  const device = { readOnly: false, device: true };
  const detach = async (...nodes: readonly string[]) => {
    for (const node of nodes) await hostKernel.detachLoop(node);
  };

  it("23 is reached by one node each for writing and for reading, of its exact size", async () => {
    const driver = await opened(XFS, {});
    await prepareBlock(driver, A);
    const [mount, ...more] = await driver.mounts(A, device, LIVE);
    expect([mount?.type, mount?.options, more]).toEqual(["bind", [], []]);
    expect(await driver.mounts(A, device, LIVE)).toEqual([mount]);
    const [reader] = await driver.mounts(A, { ...device, readOnly: true }, LIVE);
    const nodes = [mount?.source ?? "", reader?.source ?? ""];
    expect(new Set(nodes).size).toBe(2);
    try {
      for (const [node, readOnly] of [
        [nodes[0], "0"],
        [nodes[1], "1"],
      ] as const) {
        const { stdout } = await run("blockdev", ["--getsize64", "--getro", "--getss", node ?? ""]);
        expect(stdout.split("\n")).toEqual([String(8 * MIB), readOnly, "512", ""]);
      }
      const backing = await readFile(`/sys/block/${nodes[0]?.slice(5)}/loop/backing_file`, "utf8");
      expect(backing).toContain(A);
      await driver.close(LIVE);
      expect(await hostKernel.findLoops(backing.trim())).toHaveLength(2);
    } finally {
      await detach(...nodes);
    }
  });

  it("23 is not mounted as files, nor a layer of files as a device, nor a committed one at all", async () => {
    const driver = await opened(XFS, {});
    await prepareBlock(driver, A);
    await expect(driver.mounts(A, { readOnly: false }, LIVE)).rejects.toMatchObject(REFUSED);
    await prepare(driver, B);
    await expect(driver.mounts(B, device, LIVE)).rejects.toMatchObject(REFUSED);
    await driver.commit(A, C, LIVE);
    const sealed = driver.mounts(C, { ...device, readOnly: true }, LIVE);
    await expect(sealed).rejects.toMatchObject(REFUSED);
  });

  it("is removed and committed with what was written to it, but not while its node is mounted", async () => {
    const driver = await opened(EXT4, {});
    await prepareBlock(driver, A);
    const [{ source: node = "" } = {}] = await driver.mounts(A, device, LIVE);
    const target = join(scratch.path, "node");
    await writeFile(target, "");
    try {
      await run("mount", ["--bind", node, target]);
      await writeFile(target, "bytes");
      await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject(REFUSED);
      await expect(driver.remove(A, LIVE)).rejects.toMatchObject(REFUSED);
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject(REFUSED);
      await run("umount", [target]);
      await driver.commit(A, B, LIVE);
      expect(await hostKernel.findLoops(join(pool, "layers", B, "disk.img"))).toEqual([]);
      await prepareBlock(driver, C, B);
      const [{ source: copy = "" } = {}] = await driver.mounts(C, device, LIVE);
      expect((await readFile(copy)).subarray(0, 5).toString()).toBe("bytes");
      await detach(copy);
      await driver.remove(C, LIVE);
      await driver.remove(B, LIVE);
    } finally {
      await run("umount", [target]).catch(() => undefined);
      await detach(node);
    }
  });
});

describe("snapshots of a volume in use", () => {
  it("are each a beginning of what its writer has acknowledged, many times in a row", {
    timeout: 300_000,
  }, async () => {
    const driver = await opened(XFS, { size: "64M" });
    await prepare(driver, A);
    await within(driver, A, async (root) => {
      const writer = await RecordWriter.start(root);
      try {
        for (let round = 0; round < liveSnapshots(200); round++) {
          await writer.more(5);
          const before = writer.acknowledged;
          await driver.snapshot(A, B, LIVE);
          const after = writer.begun;
          const last = lastRecord(await within(driver, B, readRecords, true));
          expect(last).toBeGreaterThanOrEqual(before);
          expect(last).toBeLessThanOrEqual(after);
          if (round % 10 === 0) {
            // A clone for writing has its journal replayed; a snapshot needs none of that, and shows the same.
            await prepare(driver, C, B);
            expect(lastRecord(await within(driver, C, readRecords))).toBe(last);
            await driver.remove(C, LIVE);
          }
          await driver.remove(B, LIVE);
        }
      } finally {
        await writer.stop();
      }
    });
  });

  it("28 are of one instant when they join", async () => {
    const driver = await opened(XFS, { size: "24M" });
    await prepare(driver, A);
    await prepare(driver, B);
    await within(driver, A, (first) =>
      within(driver, B, async (second) => {
        const writer = await RecordWriter.start(first, second);
        try {
          for (let round = 0; round < liveSnapshots(15); round++) {
            await writer.more(5);
            const before = writer.acknowledged;
            const [one, two] = makeSeats(2);
            await Promise.all([
              driver.snapshot(A, C, LIVE, { seat: one }),
              driver.snapshot(B, D, LIVE, { seat: two }),
            ]);
            const read = (at: string) => within(driver, D, (other) => readRecords(at, other), true);
            const last = lastRecord(await within(driver, C, read, true));
            expect(last).toBeGreaterThanOrEqual(before);
            await driver.remove(C, LIVE);
            await driver.remove(D, LIVE);
          }
        } finally {
          await writer.stop();
        }
      }),
    );
  });

  it("are whole too when it is not in use, but was when the machine lost its power", async () => {
    const driver = await opened(EXT4, { size: "24M" });
    await prepare(driver, A);
    const acknowledged = await within(driver, A, async (root) => {
      const writer = await RecordWriter.start(root);
      await writer.more(100);
      await run("cp", ["--sparse=always", disk, `${disk}.cut`]);
      const before = writer.acknowledged;
      await writer.stop();
      return before;
    });
    await scratch.release();
    disk = `${disk}.cut`;
    pool = join(await scratch.mount(disk), "pool");
    const next = createLoopDriver(pool, { size: "24M" }, ports);
    await next.open(LIVE);
    await next.snapshot(A, B, LIVE);
    const counts = await within(next, B, readRecords, true);
    const sum = counts.reduce((a, b) => a + b, 0);
    expect(sum).toBeGreaterThan(90);
    expect(sum).toBeLessThanOrEqual(acknowledged + 3);
  });
});

describe("a volume in use", () => {
  it("is neither removed nor committed, and the refusal says where it is mounted", async () => {
    const driver = await opened(XFS, { size: "24M" });
    await prepare(driver, A);
    await within(driver, A, async (root) => {
      const refused = { ...REFUSED, message: expect.stringContaining(join(root, "..")) };
      await expect(driver.remove(A, LIVE)).rejects.toMatchObject(refused);
      await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject(refused);
    });
    await driver.commit(A, B, LIVE);
    await driver.remove(B, LIVE);
    expect(await driver.list(LIVE)).toEqual([]);
  });

  it("can be read and written at the same time, whoever comes first", async () => {
    const driver = await opened(XFS, { size: "24M" });
    await prepare(driver, A);
    await within(driver, A, async (root) => {
      await writeFile(join(root, "file"), "1");
      const read = (at: string) => readFile(join(at, "file"), "utf8");
      expect(await within(driver, A, read, true)).toBe("1");
    });
    await within(
      driver,
      A,
      (at) =>
        within(driver, A, async (root) => {
          await writeFile(join(root, "file"), "2");
          expect(await readFile(join(at, "file"), "utf8")).toBe("2");
          await driver.snapshot(A, B, LIVE);
        }),
      true,
    );
    const read = (at: string) => readFile(join(at, "file"), "utf8");
    expect(await within(driver, B, read, true)).toBe("2");
  });

  it("grows where it is mounted", async () => {
    const driver = await opened(XFS, { fs: "xfs", size: "300M" });
    await prepare(driver, A);
    await within(driver, A, async (root) => {
      const before = await hostKernel.statFileSystem(root);
      await driver.resize(A, 400 * MIB, LIVE);
      const { totalBytes } = await hostKernel.statFileSystem(root);
      expect(totalBytes - before.totalBytes).toBeGreaterThan(90 * MIB);
    });
    await expect(driver.resize(A, 300 * MIB, LIVE)).rejects.toMatchObject(REFUSED);
    expect((await driver.list(LIVE))[0]?.sizeBytes).toBe(400 * MIB);
  });

  it("is whole whichever call of a growth was the last of its daemon", {
    timeout: 240_000,
  }, async () => {
    const options = { fs: "xfs", size: "300M" };
    const driver = await opened(XFS, options);
    const faults = new Faults();
    const sick = createLoopDriver(pool, options, {
      files: faults.wrap(hostFiles),
      kernel: faults.wrap(hostKernel),
      exec: faults.wrap(hostExec),
    });
    const [small, large] = [300 * MIB, 400 * MIB];
    for (let nth = 1; ; nth++) {
      await prepare(driver, A);
      await within(driver, A, (root) => writeFile(join(root, "file"), "kept"));
      faults.disarm();
      await sick.open(LIVE);
      faults.arm(nth, "crash");
      await sick.resize(A, large, LIVE).catch(() => undefined);
      const { fired } = faults;
      faults.disarm();
      const next = createLoopDriver(pool, options, ports);
      await next.open(LIVE);
      const found = (await next.list(LIVE))[0]?.sizeBytes;
      expect([null, large], `call ${nth}`).toContain(found);
      const { size } = await stat(join(pool, "layers", A, "disk.img"));
      expect(size, `call ${nth}`).toBe(found ?? small);
      await next.resize(A, large, LIVE);
      await within(next, A, async (root) => {
        expect(await readFile(join(root, "file"), "utf8")).toBe("kept");
        const { totalBytes } = await hostKernel.statFileSystem(root);
        expect(totalBytes, `call ${nth}`).toBeGreaterThan(320 * MIB);
      });
      await next.remove(A, LIVE);
      expect(await readdir(join(pool, "tmp"))).toEqual([]);
      expect(await readdir(join(pool, "work"))).toEqual([]);
      if (!fired) break;
    }
  });

  it("is full at its size, and has room again when something is deleted", async () => {
    const driver = await opened(XFS, { fs: "xfs", size: "300M" });
    await prepare(driver, A);
    const fill = (root: string) =>
      run("dd", ["if=/dev/zero", `of=${join(root, "large")}`, "bs=1M", "oflag=direct"]);
    await within(driver, A, async (root) => {
      await expect(fill(root)).rejects.toThrow("No space left on device");
      const { size } = await stat(join(root, "large"));
      expect(size).toBeGreaterThan(200 * MIB);
      expect(size).toBeLessThan(300 * MIB);
      await rm(join(root, "large"));
      await writeFile(join(root, "file"), Buffer.alloc(MIB));
    });
    await driver.commit(A, B, LIVE);
    await driver.prepare(
      C,
      { parent: B, sizeBytes: 400 * MIB, owner: { uid: 0, gid: 0, mode: 0o755 } },
      LIVE,
    );
    await within(driver, C, async (root) => {
      expect((await hostKernel.statFileSystem(root)).totalBytes).toBeGreaterThan(320 * MIB);
      expect(await readdir(root)).toEqual(["file"]);
    });
  });

  it("grows on ext4 where this process may, and else says what it lacks", async () => {
    const driver = await opened(XFS, { size: "24M" });
    await prepare(driver, A);
    const status = await readFile("/proc/self/status", "utf8");
    const capable = (BigInt(`0x${/CapEff:\s*(\w+)/.exec(status)?.[1]}`) >> 24n) & 1n;
    await within(driver, A, async (root) => {
      const grown = driver.resize(A, 48 * MIB, LIVE);
      if (capable === 1n) {
        await grown;
        const { totalBytes } = await hostKernel.statFileSystem(root);
        expect(totalBytes).toBeGreaterThan(40 * MIB);
      } else {
        const message = expect.stringContaining("CAP_SYS_RESOURCE");
        await expect(grown).rejects.toMatchObject({ ...REFUSED, message });
      }
    });
    await driver.resize(A, 48 * MIB, LIVE);
    await within(driver, A, async (root) => {
      expect((await hostKernel.statFileSystem(root)).totalBytes).toBeGreaterThan(40 * MIB);
    });
  });
});

describe("usage", () => {
  it("tells what removing a volume would free, which is not what its snapshots hold too", async () => {
    const driver = await opened(XFS, { size: "64M" });
    await prepare(driver, A);
    await within(driver, A, async (root) => {
      await writeFile(join(root, "file"), Buffer.alloc(8 * MIB, "x"));
      await run("sync", ["--file-system", root]);
    });
    const freed = async (layer: LayerId) => (await driver.usage(layer, LIVE)).exclusiveBytes;
    expect(await freed(A)).toBeGreaterThan(8 * MIB);
    await driver.snapshot(A, B, LIVE);
    for (const layer of [A, B]) {
      const { referencedBytes, exclusiveBytes } = await driver.usage(layer, LIVE);
      expect(referencedBytes).toBeGreaterThan(8 * MIB);
      expect(exclusiveBytes).toBeLessThan(2 * MIB);
    }
    await driver.remove(A, LIVE);
    await expect.poll(() => freed(B), { timeout: 20_000 }).toBeGreaterThan(8 * MIB);
  });
});

describe("a daemon that comes after one that died", () => {
  it("thaws what was left frozen, and takes down what was left mounted", async () => {
    const driver = await opened(XFS, { size: "24M" });
    await prepare(driver, A);
    await prepare(driver, B);
    const work = join(pool, "work", "7");
    await run("mkdir", [work]);
    await run("mount", ["-o", "loop", join(pool, "layers", B, "disk.img"), work]);
    await within(driver, A, async (root) => {
      await run("fsfreeze", ["--freeze", root]);
      try {
        await createLoopDriver(pool, { size: "24M" }, ports).open(LIVE);
        await writeFile(join(root, "file"), "written");
      } finally {
        await hostKernel.thaw(root);
      }
    });
    expect(await readdir(join(pool, "work"))).toEqual([]);
    await driver.remove(B, LIVE);
  });
});

describe("images on a disk that fills up", () => {
  it("warn before, are named when one turned read-only, and keep what was synced", {
    retry: 2,
  }, async () => {
    const driver = await opened(EXT4, { size: "400M" });
    await prepare(driver, A);
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    const others = join(pool, "..", "others");
    await within(driver, A, async (root) => {
      await writeFile(join(root, "kept"), "kept");
      await run("sync", ["--file-system", root]);
      await run("fallocate", ["--length", `${430 * MIB}`, others]);
      expect(await driver.health(LIVE)).toMatchObject({
        state: "warning",
        why: expect.stringMatching(/may still grow by \d+ MiB, but its disk has only [\d.]+ MiB/),
      });
      // Direct, so that it meets the full disk itself.
      const large = `of=${join(root, "large")}`;
      await run("dd", ["if=/dev/zero", large, "bs=1M", "count=200", "oflag=direct"]).catch(
        () => undefined,
      );
      await run("sync", ["--file-system", root]).catch(() => undefined);
      // Its journal has no room either.
      for (let n = 0; n < 50; n++) {
        await run("mkdir", [join(root, `directory-${n}`)]).catch(() => undefined);
        await run("sync", ["--file-system", root]).catch(() => undefined);
        const health = await driver.health(LIVE);
        if (health.state === "warning" && health.why.includes("turned read-only")) break;
      }
      expect(await driver.health(LIVE)).toMatchObject({
        why: expect.stringContaining("turned read-only"),
      });
      await rm(others);
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject(REFUSED);
    });
    await within(driver, A, async (root) => {
      expect(await readFile(join(root, "kept"), "utf8")).toBe("kept");
      await writeFile(join(root, "new"), "written");
    });
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
  });
});
