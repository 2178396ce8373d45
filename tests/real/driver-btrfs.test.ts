import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rm, stat, statfs, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { lookForPool } from "../../src/drivers/auto/look.ts";
import { createBtrfsDriver } from "../../src/drivers/btrfs/driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { lastRecord, RecordWriter, readRecords } from "../conformance/record-writer.ts";
import { Scratch } from "./driver-disk.ts";
import { liveSnapshots } from "./live-snapshots.ts";

const run = promisify(execFile);
const LIVE = new AbortController().signal;
const ports: DriverPorts = { files: hostFiles, kernel: hostKernel, exec: hostExec };
const [A, B, C] = [1, 2, 3].map((n) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${n}`),
) as [LayerId, LayerId, LayerId];
const MIB = 1024 ** 2;

let scratch: Scratch;
beforeEach(async () => {
  scratch = await Scratch.make();
});
afterEach(() => scratch.dispose());

async function prepared(driver: StorageDriver, layer: LayerId): Promise<string> {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  await driver.prepare(layer, { parent: null, sizeBytes: null, owner }, LIVE);
  return (await driver.mounts(layer, { readOnly: false }, LIVE))[0]?.source ?? "";
}

/** What a file system has left, in MiB. */
async function roomMib(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return Math.floor((bavail * bsize) / MIB);
}

it("has in each of many snapshots in a row a beginning of what its writer has acknowledged", {
  timeout: 600_000,
}, async () => {
  const driver = createBtrfsDriver(join(scratch.path, "pool"), { size: "512M" }, ports);
  await driver.open(LIVE);
  const writer = await RecordWriter.start(await prepared(driver, A));
  try {
    for (let round = 0; round < liveSnapshots(100); round++) {
      await writer.more(5);
      const before = writer.acknowledged;
      await driver.snapshot(A, B, LIVE);
      const after = writer.begun;
      const [mount] = await driver.mounts(B, { readOnly: true }, LIVE);
      const last = lastRecord(await readRecords(mount?.source ?? ""));
      expect(last).toBeGreaterThanOrEqual(before);
      expect(last).toBeLessThanOrEqual(after);
      await driver.remove(B, LIVE);
    }
  } finally {
    await writer.stop();
  }
});

describe("a loop file on a disk that fills up", () => {
  it("F20 warns, is faulted when the disk is full, and comes back when there is room", {
    timeout: 240_000,
  }, async () => {
    const host = await scratch.mount(await scratch.image("host.img", ["mkfs.ext4", "-q"]));
    const driver = createBtrfsDriver(join(host, "pool"), { size: "400M" }, ports);
    await driver.open(LIVE);
    const volume = await prepared(driver, A);
    await writeFile(join(volume, "kept"), "kept");
    await run("sync", ["--file-system", volume]);
    expect(await driver.health(LIVE)).toEqual({ state: "up" });

    await run("fallocate", ["--length", `${300 * MIB}`, join(host, "others")]);
    const warning = await driver.health(LIVE);
    expect(warning).toMatchObject({
      state: "warning",
      why: expect.stringMatching(/may still grow by 3\d\d MiB, but its disk has only \d+ MiB/),
    });
    const container = join(scratch.path, "container");
    await mkdir(container);
    await run("mount", ["--bind", volume, container]);
    await run("fallocate", ["--length", `${(await roomMib(host)) - 16}M`, join(host, "more")]);
    await writeFile(join(container, "large"), Buffer.alloc(64 * MIB, "x"));
    await run("sync", ["--file-system", volume]).catch(() => undefined);
    await expect
      .poll(() => driver.health(LIVE), { timeout: 120_000 })
      .toMatchObject({
        state: "faulted",
        why: expect.stringContaining("read-only"),
      });
    await expect(driver.list(LIVE)).rejects.toMatchObject({ code: "unavailable" });

    for (const file of ["others", "more"]) await rm(join(host, file));
    await expect(driver.open(LIVE)).rejects.toMatchObject({ code: "unavailable" });
    await run("umount", [container]);
    // Another test's new mount namespace may have a copy of the mount for a moment.
    await expect
      .poll(() => driver.open(LIVE).then(() => "open", String), { timeout: 120_000 })
      .toBe("open");
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    expect(await readFile(join(volume, "kept"), "utf8")).toBe("kept");
    await writeFile(join(volume, "new"), "written");
  });
});

describe("a loop file with its room reserved", () => {
  it("F20 is not touched by a disk that fills up, and gives no room away", async () => {
    const host = await scratch.mount(await scratch.image("host.img", ["mkfs.ext4", "-q"]));
    const pool = join(host, "pool");
    const options = { size: "256M", reserve: "true" };
    const driver = createBtrfsDriver(pool, options, ports);
    await driver.open(LIVE);
    const volume = await prepared(driver, A);
    const held = (): Promise<number> =>
      stat(join(pool, "pool.img")).then(({ blocks }) => blocks * 512);
    expect(await held()).toBeGreaterThanOrEqual(256 * MIB);
    await run("fallocate", ["--length", `${await roomMib(host)}M`, join(host, "others")]);
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    for (let round = 0; round < 2; round++) {
      await writeFile(join(volume, "large"), Buffer.alloc(64 * MIB, "x"), { flush: true });
      await rm(join(volume, "large"));
      await run("sync", ["--file-system", volume]);
    }
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    expect(await held()).toBeGreaterThanOrEqual(256 * MIB);
  });

  it("F20 is refused where there is no room for it, and leaves none taken", async () => {
    const host = await scratch.mount(await scratch.image("host.img", ["mkfs.ext4", "-q"]));
    const before = await roomMib(host);
    const options = { size: "1G", reserve: "true" };
    await expect(createBtrfsDriver(join(host, "pool"), options, ports).open(LIVE)).rejects.toThrow(
      /Cannot reserve 1 GiB .* make room, or leave reserve out/,
    );
    expect(await roomMib(host)).toBeGreaterThanOrEqual(before - 2);
  });
});

describe("a disk", () => {
  it("is refused and left as it is when something else is on it", async () => {
    const image = await scratch.image("disk.img", ["mkfs.ext4", "-q"]);
    const device = await scratch.attach(image);
    const before = await readFile(image);
    const driver = createBtrfsDriver(join(scratch.path, "pool"), { device }, ports);
    await expect(driver.open(LIVE)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("there is ext4 on it"),
    });
    expect(Buffer.compare(await readFile(image), before)).toBe(0);
  });

  it("is known again by a link such as those in /dev/disk", async () => {
    const device = await scratch.attach(await scratch.image("disk.img"));
    const link = `/dev/${basename(scratch.path)}`;
    await symlink(device, link);
    try {
      const pool = join(scratch.path, "pool");
      await createBtrfsDriver(pool, { device: link }, ports).open(LIVE);
      const again = createBtrfsDriver(pool, { device: link }, ports);
      await again.open(LIVE);
      await prepared(again, A);
    } finally {
      await rm(link, { force: true });
    }
  });
});

describe("a btrfs of the pool's own", () => {
  it("keeps its accounting when a large subvolume is removed", async () => {
    const pool = join(scratch.path, "pool");
    await createBtrfsDriver(pool, { size: "256M" }, ports).open(LIVE);
    const { stdout } = await run("blkid", ["-o", "value", "-s", "UUID", join(pool, "pool.img")]);
    const threshold = `/sys/fs/btrfs/${stdout.trim()}/qgroups/drop_subtree_threshold`;
    expect((await readFile(threshold, "utf8")).trim()).toBe("8");
    expect((await readdir(join(pool, "mnt"))).sort()).toEqual(["layers", "tmp"]);
  });

  it("removes a volume with subvolumes in it, and leaves those out of snapshots", async () => {
    const driver = createBtrfsDriver(join(scratch.path, "pool"), { size: "256M" }, ports);
    await driver.open(LIVE);
    const volume = await prepared(driver, A);
    await run("btrfs", ["subvolume", "create", join(volume, "inner")]);
    await run("btrfs", ["subvolume", "create", join(volume, "inner", "innermost")]);
    await writeFile(join(volume, "inner", "file"), "inner");
    await driver.snapshot(A, B, LIVE);
    await driver.view(C, B, LIVE);
    const view = (await driver.mounts(C, { readOnly: true }, LIVE))[0]?.source ?? "";
    expect(await readdir(join(view, "inner"))).toEqual([]);
    for (const layer of [A, C, B]) await driver.remove(layer, LIVE);
    const { stdout } = await run("btrfs", ["subvolume", "list", join(scratch.path, "pool/mnt")]);
    expect(stdout).toBe("");
  });
});

it.each([
  ["ext4", ["mkfs.ext4", "-q"], false],
  ["xfs", ["mkfs.xfs", "-q", "-m", "reflink=1"], true],
  ["btrfs", ["mkfs.btrfs", "-q"], true],
] as const)("auto sees what %s can do, and leaves nothing", async (fileSystem, mkfs, reflink) => {
  const directory = await scratch.mount(await scratch.image("disk.img", mkfs));
  const before = await readdir(directory);
  const look = await lookForPool(directory, ports, LIVE);
  expect(look).toMatchObject({ fileSystem, reflink, btrfsLoop: true });
  expect(await readdir(directory)).toEqual(before);
});
