import { expect, it } from "vitest";
import { type LayerId, parseId } from "../../core/id.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { failingAt } from "../../sim/failing.ts";
import { SimMachine } from "../../sim/machine.ts";
import { createBtrfsDriver } from "./driver.ts";

const POOL = "/var/lib/pool";
const MNT = `${POOL}/mnt`;
const LIVE = new AbortController().signal;
const LAYER = parseId<LayerId>("01920000-0000-7000-8000-000000000001");
const COMMITTED = parseId<LayerId>("01920000-0000-7000-8000-000000000002");
const FRESH = { parent: null, sizeBytes: null, owner: { uid: 0, gid: 0, mode: 0o755 } };

function pool(machine: SimMachine, options: Record<string, string>): StorageDriver {
  return createBtrfsDriver(POOL, options, machine.start());
}

async function write(driver: StorageDriver, machine: SimMachine, text: string): Promise<void> {
  await driver.prepare(LAYER, FRESH, LIVE);
  machine.write(`${await source(driver)}/file`, text);
  machine.sync();
}

async function source(driver: StorageDriver): Promise<string> {
  return (await driver.mounts(LAYER, { readOnly: false }, LIVE))[0]?.source ?? "";
}

it.each([{ size: "1G" }, { device: "/dev/sdb" }])(
  "a pool on %j comes back after a reboot",
  async (options) => {
    const machine = new SimMachine({ seed: 1 });
    machine.addDisk("/dev/sdb", 1024 ** 3);
    const driver = pool(machine, options);
    await driver.open(LIVE);
    await write(driver, machine, "kept");
    machine.reboot();
    const next = pool(machine, options);
    await next.open(LIVE);
    expect(machine.read(`${await source(next)}/file`)).toBe("kept");
  },
);

it("a loop file that is attached and mounted already is used as it is", async () => {
  const machine = new SimMachine({ seed: 1 });
  await pool(machine, { size: "1G" }).open(LIVE);
  machine.crash();
  const next = pool(machine, { size: "1G" });
  await next.open(LIVE);
  const { kernel } = machine.start();
  expect(await kernel.findLoops(`${POOL}/pool.img`)).toHaveLength(1);
  expect((await kernel.mountTable()).filter(({ mountPoint }) => mountPoint === MNT)).toHaveLength(
    1,
  );
});

it("a loop file that is gone is never replaced by an empty one", async () => {
  const machine = new SimMachine({ seed: 1 });
  const driver = pool(machine, { size: "1G" });
  await driver.open(LIVE);
  await write(driver, machine, "kept");
  machine.reboot();
  const { files } = machine.start();
  await files.rename(`${POOL}/pool.img`, "/var/elsewhere");
  const next = pool(machine, { size: "1G" });
  await expect(next.open(LIVE)).rejects.toMatchObject({ code: "failed_precondition" });
  expect(await next.health(LIVE)).toMatchObject({ state: "faulted" });
  await files.rename("/var/elsewhere", `${POOL}/pool.img`);
  await next.open(LIVE);
  expect(machine.read(`${await source(next)}/file`)).toBe("kept");
});

it("a disk with something else on it is refused and not touched", async () => {
  const machine = new SimMachine({ seed: 1 });
  machine.addDisk("/dev/sdb", 1024 ** 3);
  const inside = machine.follow("use", "/dev/sdb").node;
  machine.makeFileSystem({ type: "ext4", totalBytes: 1024 ** 3, inside });
  await expect(pool(machine, { device: "/dev/sdb" }).open(LIVE)).rejects.toMatchObject({
    code: "failed_precondition",
    message: expect.stringContaining("ext4"),
  });
  expect(inside.inside?.type).toBe("ext4");
});

it("a disk that was swapped for an empty one is not formatted", async () => {
  const machine = new SimMachine({ seed: 1 });
  machine.addDisk("/dev/sdb", 1024 ** 3);
  await pool(machine, { device: "/dev/sdb" }).open(LIVE);
  machine.reboot();
  const disk = machine.follow("use", "/dev/sdb").node;
  disk.inside = null;
  await expect(pool(machine, { device: "/dev/sdb" }).open(LIVE)).rejects.toThrow();
  expect(disk.inside).toBe(null);
});

it("nothing is written when something else is mounted at the mount point", async () => {
  const machine = new SimMachine({ seed: 1 });
  const driver = pool(machine, { size: "1G" });
  await driver.open(LIVE);
  const { kernel } = machine.start();
  await kernel.mount({ type: "tmpfs", source: "tmpfs", target: MNT, options: [] });
  await expect(driver.prepare(LAYER, FRESH, LIVE)).rejects.toMatchObject({ code: "unavailable" });
  await expect(driver.open(LIVE)).rejects.toMatchObject({ code: "failed_precondition" });
  await kernel.unmount(MNT);
  await driver.open(LIVE);
  await driver.prepare(LAYER, FRESH, LIVE);
});

it("a layer in use keeps the pool, and close is success", async () => {
  const machine = new SimMachine({ seed: 1 });
  const driver = pool(machine, { size: "1G" });
  await driver.open(LIVE);
  await write(driver, machine, "kept");
  const mounts = [{ source: await source(driver), target: "/data" }];
  const container = machine.process({ pid: 100, mounts });
  await driver.close(LIVE);
  container.write("/data/file", "written meanwhile");
  await driver.open(LIVE);
  expect(machine.read(`${await source(driver)}/file`)).toBe("written meanwhile");
});

it("a host disk without room for the whole file is a warning with figures", async () => {
  const machine = new SimMachine({ seed: 1, rootBytes: 2 * 1024 ** 3 });
  const driver = pool(machine, { size: "1G" });
  await driver.open(LIVE);
  expect(await driver.health(LIVE)).toEqual({ state: "up" });
  machine.write("/var/large", 1.5 * 1024 ** 3);
  expect(await driver.health(LIVE)).toMatchObject({
    state: "warning",
    why: expect.stringMatching(/only 5\d\d MiB left/),
  });
});

it("a pool that went read-only is faulted, and comes back when there is room", async () => {
  const machine = new SimMachine({ seed: 1, rootBytes: 2 * 1024 ** 3 });
  const driver = pool(machine, { size: "1G" });
  await driver.open(LIVE);
  await driver.prepare(LAYER, FRESH, LIVE);
  const path = await source(driver);
  machine.write("/var/large", 1.9 * 1024 ** 3);
  expect(() => machine.write(`${path}/file`, 512 * 1024 ** 2)).toThrow();
  expect(await driver.health(LIVE)).toMatchObject({
    state: "faulted",
    why: expect.stringContaining("read-only"),
  });
  await expect(driver.list(LIVE)).rejects.toMatchObject({ code: "unavailable" });
  await machine.start().files.remove("/var/large");
  await driver.open(LIVE);
  expect(await driver.health(LIVE)).toEqual({ state: "up" });
});

it("accounting of somebody's btrfs is turned on by the first limit only", async () => {
  const machine = new SimMachine({ seed: 1, rootType: "btrfs" });
  const driver = pool(machine, {});
  await driver.open(LIVE);
  await driver.prepare(LAYER, FRESH, LIVE);
  const { kernel } = machine.start();
  const path = await source(driver);
  expect(await kernel.subvolumeUsage(path)).toBe(undefined);
  machine.write(`${path}/file`, 1024 ** 2);
  expect((await driver.usage(LAYER, LIVE)).referencedBytes).toBeGreaterThanOrEqual(1024 ** 2);
  await driver.resize(LAYER, 10 * 1024 ** 2, LIVE);
  expect((await kernel.subvolumeUsage(path))?.limitBytes).toBe(10 * 1024 ** 2);
});

it.each(["crash", "reboot"] as const)(
  "flags and limits follow the records after a %s at any call of a resize or a commit",
  async (end) => {
    for (let nth = 1; ; nth++) {
      const machine = new SimMachine({ seed: 1 });
      const { kernel, files, exec } = machine.start();
      const failing = failingAt({ kernel, files, exec }, nth, "crash-after");
      const driver = createBtrfsDriver(POOL, { size: "1G" }, failing.ports);
      const work = async (): Promise<void> => {
        await driver.open(LIVE);
        await driver.prepare(LAYER, { ...FRESH, sizeBytes: 1024 ** 2 }, LIVE);
        await driver.resize(LAYER, 2 * 1024 ** 2, LIVE);
        await driver.commit(LAYER, COMMITTED, LIVE);
      };
      await Promise.race([work(), failing.crashed]);
      machine[end]();
      const next = pool(machine, { size: "1G" });
      await next.open(LIVE);
      const after = machine.start().kernel;
      for (const { id, kind, sizeBytes } of await next.list(LIVE)) {
        const path = `${MNT}/layers/${id}/_data`;
        const readOnly = kind === "committed";
        expect(await after.findSubvolume(path), failing.hit()).toMatchObject({ readOnly });
        expect(await after.subvolumeUsage(path), failing.hit()).toMatchObject({
          limitBytes: sizeBytes,
        });
      }
      if (failing.hit() === undefined) return;
    }
  },
);

it("a directory that is not on btrfs is refused", async () => {
  const driver = pool(new SimMachine({ seed: 1 }), {});
  await expect(driver.open(LIVE)).rejects.toMatchObject({ code: "failed_precondition" });
});
