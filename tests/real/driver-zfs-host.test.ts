import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { lookForPool } from "../../src/drivers/auto/look.ts";
import { createZfsDriver } from "../../src/drivers/zfs/driver.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { lastRecord, RecordWriter, readRecords } from "../conformance/record-writer.ts";
import { type ZfsMachine, zfsMachine } from "./driver-zfs-fixture.ts";
import { liveSnapshots } from "./live-snapshots.ts";

const LIVE = new AbortController().signal;
const [A, B, C] = [1, 2, 3].map(layerOf) as [LayerId, LayerId, LayerId];
const MIB = 1024 ** 2;
/** Snapshots in a row of a layer that is being written. */
const SNAPSHOTS = liveSnapshots(50);

function layerOf(n: number): LayerId {
  return parseId<LayerId>(`01920000-0000-7000-8000-${`${n}`.padStart(12, "0")}`);
}

async function prepared(driver: StorageDriver, layer: LayerId): Promise<string> {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  await driver.prepare(layer, { parent: null, sizeBytes: null, owner }, LIVE);
  return pathOf(driver, layer);
}

async function pathOf(driver: StorageDriver, layer: LayerId, readOnly = false): Promise<string> {
  return (await driver.mounts(layer, { readOnly }, LIVE))[0]?.source ?? "";
}

let machine: ZfsMachine;
afterEach(() => machine.dispose());

describe("a ZFS pool on a file", () => {
  let pool: string;
  let driver: StorageDriver;
  const opening = (directory: string, past = { opened: false }): StorageDriver =>
    createZfsDriver(directory, { size: "512M" }, machine.ports, past);
  beforeEach(async () => {
    machine = await zfsMachine();
    pool = join(machine.directory, "pool");
    driver = opening(pool);
    await driver.open(LIVE);
  });

  it("has in each of many snapshots every record acknowledged before it, and no gap; and all after a crash of zfs-fuse", {
    timeout: 600_000,
  }, async () => {
    const path = await prepared(driver, A);
    const writer = await RecordWriter.start(path);
    const bounds: (readonly [number, number])[] = [];
    try {
      for (let index = 0; index < SNAPSHOTS; index++) {
        await writer.more(1);
        const before = writer.acknowledged;
        await driver.snapshot(A, layerOf(100 + index), LIVE);
        bounds.push([before, writer.begun]);
      }
      await machine.daemon.kill();
      await expect(writer.more(1)).rejects.toThrow();
    } finally {
      await writer.stop().catch(() => undefined);
    }
    await machine.daemon.start();
    driver = opening(pool, { opened: true });
    await driver.open(LIVE);
    for (const [index, [before, begun]] of bounds.entries()) {
      const snapshot = await pathOf(driver, layerOf(100 + index), true);
      const last = lastRecord(await readRecords(snapshot));
      expect(last).toBeGreaterThanOrEqual(before);
      expect(last).toBeLessThanOrEqual(begun);
    }
    const last = lastRecord(await readRecords(await pathOf(driver, A)));
    expect(last).toBeGreaterThanOrEqual(writer.acknowledged);
  });

  it("mounts again what somebody unmounted, and answers no bare directory", async () => {
    const path = await prepared(driver, A);
    await writeFile(join(path, "file"), "kept");
    const point = join(path, "..");
    await hostKernel.unmount(point);
    expect(await readdir(point)).toEqual([]);
    expect(await readFile(join(await pathOf(driver, A), "file"), "utf8")).toBe("kept");
    await hostKernel.unmount(point);
    await hostKernel.mount({ type: "tmpfs", source: "tmpfs", target: point, options: [] });
    await expect(pathOf(driver, A)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("tmpfs (tmpfs) is mounted at"),
    });
  });

  it("refuses to commit or remove what is mounted elsewhere, leaves it at close, and serves again", async () => {
    const path = await prepared(driver, A);
    const container = join(machine.scratch.path, "container");
    await mkdir(container);
    await hostKernel.mount({ type: "bind", source: path, target: container, options: [] });
    const refused = {
      code: "failed_precondition",
      message: expect.stringContaining(`at ${container}, has it mounted`),
    };
    await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject(refused);
    await expect(driver.remove(A, LIVE)).rejects.toMatchObject(refused);
    await driver.close(LIVE);
    await writeFile(join(container, "file"), "still");
    driver = opening(pool, { opened: true });
    await driver.open(LIVE);
    expect(await readFile(join(await pathOf(driver, A), "file"), "utf8")).toBe("still");
    await hostKernel.unmount(container);
    await driver.remove(A, LIVE);
    expect(await driver.list(LIVE)).toEqual([]);
  });

  it("removes what a copy of our mount namespace keeps busy, says who, and clears it away later", async () => {
    await prepared(driver, A);
    const other = await sleeper();
    try {
      await driver.remove(A, LIVE);
      expect(await driver.list(LIVE)).toEqual([]);
      expect(await driver.health(LIVE)).toMatchObject({
        state: "warning",
        why: expect.stringContaining(`process ${other.pid} (sleep) still has it mounted`),
      });
    } finally {
      other.kill("SIGKILL");
      await once(other, "exit");
    }
    await expect
      .poll(async () => {
        await driver.remove(B, LIVE);
        return driver.health(LIVE);
      })
      .toEqual({ state: "up" });
  });

  it("comes back after its directory was moved", async () => {
    await writeFile(join(await prepared(driver, A), "file"), "kept");
    await driver.close(LIVE);
    const moved = join(machine.directory, "moved");
    await rename(pool, moved);
    driver = opening(moved, { opened: true });
    await driver.open(LIVE);
    const path = await pathOf(driver, A);
    expect(path.startsWith(`${moved}/mnt/`)).toBe(true);
    expect(await readFile(join(path, "file"), "utf8")).toBe("kept");
    await driver.close(LIVE);
  });

  it("is never made anew where it was, and says when its file or zfs-fuse is gone", async () => {
    await prepared(driver, A);
    await driver.close(LIVE);
    const file = join(pool, "vdev", "pool.img");
    await rename(file, `${pool}.away`);
    driver = opening(pool, { opened: true });
    await expect(driver.open(LIVE)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining(`its file ${file} is gone`),
    });
    await rename(`${pool}.away`, file);
    await driver.open(LIVE);
    await rm(file);
    expect(await driver.health(LIVE)).toMatchObject({
      state: "warning",
      why: expect.stringContaining("was deleted while the pool is in use"),
    });
    await machine.daemon.kill();
    expect(await driver.health(LIVE)).toMatchObject({
      state: "faulted",
      why: expect.stringContaining("zfs-fuse has ended"),
    });
    await expect(driver.open(LIVE)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("systemctl start zfs-fuse"),
    });
  });
});

describe("a ZFS pool on a file on a disk that fills up", () => {
  let host: string;
  beforeEach(async () => {
    machine = await zfsMachine();
    const image = join(machine.directory, "host.img");
    await machine.ports.files.createSparse(image, 400 * MIB);
    await machine.command("mkfs.ext4", "-q", image);
    host = join(machine.directory, "host");
    await mkdir(host);
    await machine.command("mount", "-o", "loop", image, host);
  });
  const opening = (options: Record<string, string>, opened: boolean): StorageDriver =>
    createZfsDriver(join(host, "pool"), options, machine.ports, { opened });

  it("warns, is faulted when the disk is full, and comes back with room and a new zfs-fuse", async () => {
    await machine.command("fallocate", "--length", `${250 * MIB}`, join(host, "others"));
    let driver = opening({ size: "256M" }, false);
    await driver.open(LIVE);
    expect(await driver.health(LIVE)).toMatchObject({
      state: "warning",
      why: expect.stringMatching(/may still grow by 2\d\d MiB, but its disk has only/),
    });
    const path = await prepared(driver, A);
    await writeFile(join(path, "kept"), "kept", { flush: true });
    // It waits until ZFS goes on, which is never.
    const ended = writeFile(join(path, "large"), Buffer.alloc(150 * MIB, "x"), {
      flush: true,
    }).then(
      () => "written",
      () => "failed",
    );
    // zfs-fuse stops the pool; now and then it goes on instead, and tells that what it could not write is damaged.
    const told = async () => {
      const health = await driver.health(LIVE);
      return health.state === "up" ? "" : health.why;
    };
    await expect
      .poll(told, { timeout: 150_000 })
      .toMatch(/ZFS has stopped the pool| is damaged; run/);
    const stopped = (await driver.health(LIVE)).state === "faulted";
    if (stopped) await expect(driver.open(LIVE)).rejects.toMatchObject({ code: "unavailable" });
    await rm(join(host, "others"));
    await machine.daemon.kill();
    const end = await ended;
    await machine.daemon.start();
    driver = opening({ size: "256M" }, true);
    await driver.open(LIVE);
    if (stopped) {
      expect(end).toBe("failed");
      expect(await driver.health(LIVE)).toEqual({ state: "up" });
    }
    expect(await readFile(join(await pathOf(driver, A), "kept"), "utf8")).toBe("kept");
  }, 240_000);

  it("feels nothing of it when its room is reserved", async () => {
    const driver = opening({ size: "256M", reserve: "true" }, false);
    await driver.open(LIVE);
    const { availableBytes } = await hostKernel.statFileSystem(host);
    await machine.command("fallocate", "--length", `${availableBytes}`, join(host, "others"));
    const path = await prepared(driver, A);
    await writeFile(join(path, "large"), Buffer.alloc(150 * MIB, "x"), { flush: true });
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    const greedy = createZfsDriver(
      join(host, "other"),
      { size: "1G", reserve: "true" },
      machine.ports,
    );
    await expect(greedy.open(LIVE)).rejects.toMatchObject({ code: "resource_exhausted" });
  });
});

describe("a dataset that was given", () => {
  const opening = (name: string, dataset: string): StorageDriver =>
    createZfsDriver(join(machine.directory, name), { dataset }, machine.ports);
  beforeEach(async () => {
    machine = await zfsMachine({ tank: true });
  });

  it("is used when it is empty, belongs to one pool then, and its pool stays imported", async () => {
    const place = join(machine.directory, "place");
    await machine.command("zfs", "create", "-o", `mountpoint=${place}`, "tank/data");
    const driver = opening("one", "tank/data");
    await driver.open(LIVE);
    await prepared(driver, A);
    await expect(opening("two", "tank/data").open(LIVE)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("it belongs to the pool in"),
    });
    await driver.close(LIVE);
    expect(await machine.command("zpool", "list", "-H", "-o", "health", "tank")).toBe("ONLINE\n");
    await driver.open(LIVE);
    expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A]);
  });

  it("is refused and left as it is when files or datasets are in it", async () => {
    const place = join(machine.directory, "place");
    await machine.command("zfs", "create", "-o", `mountpoint=${place}`, "tank/files");
    await writeFile(join(place, "precious"), "kept");
    await machine.command("zfs", "create", "-o", "mountpoint=none", "tank/datasets");
    await machine.command("zfs", "create", "tank/datasets/precious");
    for (const dataset of ["tank/files", "tank/datasets"]) {
      await expect(opening("pool", dataset).open(LIVE)).rejects.toMatchObject({
        code: "failed_precondition",
        message: expect.stringContaining("precious is in it"),
      });
    }
    expect(await readFile(join(place, "precious"), "utf8")).toBe("kept");
  });

  it("keeps an administrator's snapshots and datasets in it", async () => {
    const driver = opening("pool", "tank/data");
    await driver.open(LIVE);
    await prepared(driver, A);
    await machine.command("zfs", "create", "-o", "mountpoint=none", "tank/data/theirs");
    await machine.command("zfs", "snapshot", "-r", "tank/data@daily");
    const again = opening("pool", "tank/data");
    await again.open(LIVE);
    expect((await again.list(LIVE)).map(({ id }) => id)).toEqual([A]);
    await again.remove(A, LIVE);
    expect(await again.list(LIVE)).toEqual([]);
    await prepared(again, A);
    const names = await machine.command("zfs", "list", "-H", "-r", "-t", "snapshot", "-o", "name");
    expect(names).toContain(`tank/data/${A}@daily`);
    await machine.command("zfs", "destroy", `tank/data/${A}@daily`);
    await opening("pool", "tank/data").open(LIVE);
    const left = await machine.command("zfs", "list", "-H", "-r", "-o", "name", "tank/data");
    expect(left.trim().split("\n").sort()).toEqual(
      ["tank/data", `tank/data/${A}.2`, "tank/data/anchor", "tank/data/theirs"].sort(),
    );
  });

  it("warns when its ZFS pool has lost a disk", async () => {
    const disks = ["a.img", "b.img"].map((name) => join(machine.directory, name));
    for (const disk of disks) await machine.ports.files.createSparse(disk, 200 * 1024 ** 2);
    const [, second = ""] = disks;
    await machine.command("zpool", "create", "-m", "none", "pair", "mirror", ...disks);
    const driver = opening("pool", "pair/data");
    await driver.open(LIVE);
    expect(await driver.health(LIVE)).toEqual({ state: "up" });
    await machine.command("zpool", "offline", "pair", second);
    expect(await driver.health(LIVE)).toMatchObject({
      state: "warning",
      why: expect.stringContaining("zpool status pair"),
    });
    await prepared(driver, C);
  });

  it("is what auto chooses for a state directory in ZFS", async () => {
    const place = join(machine.directory, "state");
    await machine.command("zfs", "create", "-o", `mountpoint=${place}`, "tank/state");
    expect(await lookForPool(place, machine.ports, LIVE)).toMatchObject({
      zfsDataset: "tank/state",
    });
    expect(await lookForPool(machine.scratch.path, machine.ports, LIVE)).toMatchObject({
      zfsDataset: null,
    });
  });
});

/** A process with a copy of our mount namespace, out of which nothing comes and into which nothing goes. */
async function sleeper(): Promise<ChildProcess> {
  // Without what other tests have mounted, which it would keep busy as well.
  const script = `awk -v own="$0" '/lagan-driver-/ && index($5, own "/") != 1 { print $5 }' /proc/self/mountinfo |
    while read -r at; do umount --lazy "$at" 2>/dev/null || true; done; exec sleep 600`;
  const namespace = ["--mount", "--propagation", "private"];
  const child = spawn("unshare", [...namespace, "sh", "-c", script, machine.scratch.path], {
    stdio: "ignore",
  });
  await expect
    .poll(async () => (await readFile(`/proc/${child.pid}/comm`, "utf8")).trim())
    .toBe("sleep");
  return child;
}
