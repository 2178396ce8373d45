import { beforeEach, describe, expect, it } from "vitest";
import { SimMachine, type SimPorts } from "./machine.ts";

const MIB = 1024 ** 2;
const signal = new AbortController().signal;
let machine: SimMachine;
let ports: SimPorts;

beforeEach(() => {
  machine = new SimMachine({ seed: 1 });
  ports = machine.start();
});

/** A btrfs in the image `/pool.img`, mounted at `/pool`. */
async function makePool(): Promise<void> {
  const { files, kernel, exec } = ports;
  await files.createSparse("/pool.img", 256 * MIB);
  const made = await exec.run(["mkfs.btrfs", "-q", "/pool.img"], { timeoutMs: 60_000 }, signal);
  expect(made.code).toBe(0);
  await files.ensureDirectory("/pool", { mode: 0o700 });
  await mountPool();
  await kernel.enableQuotas("/pool");
}

async function mountPool(): Promise<void> {
  const source = await ports.kernel.attachLoop("/pool.img");
  await ports.kernel.mount({ type: "btrfs", source, target: "/pool", options: [] });
}

async function reboot(): Promise<void> {
  machine.reboot();
  ports = machine.start();
  if (await ports.files.stat("/pool.img")) await mountPool();
}

describe("a power cut", () => {
  it("takes back a directory that was not synced, with all that is in it", async () => {
    await ports.files.makeDirectory("/a", { mode: 0o755 });
    machine.write("/a/data", "lost");
    machine.powerCut();
    expect(machine.read("/a/data")).toBeUndefined();
    expect(await machine.start().files.stat("/a")).toBeUndefined();
  });

  it("keeps what syncDirectory made durable: the entries, not the bytes in them", async () => {
    await ports.files.makeDirectory("/a", { mode: 0o755 });
    machine.write("/a/data", "not synced itself");
    await ports.files.syncDirectory("/a");
    machine.powerCut();
    expect(machine.read("/a/data")).toBe("");
  });

  it("keeps a text that was written, whole, and the directories above it", async () => {
    await ports.files.makeDirectory("/a", { mode: 0o755 });
    await ports.files.writeText("/a/marker", "one");
    await ports.files.writeText("/a/marker", "two");
    machine.powerCut();
    expect(machine.read("/a/marker")).toBe("two");
    expect(await machine.start().files.list("/a")).toEqual(["marker"]);
  });

  it("brings back the old content, mode and entries", async () => {
    await ports.files.ensureDirectory("/a/b", { mode: 0o700 });
    machine.write("/a/b/data", "old");
    machine.sync();
    machine.write("/a/b/data", "new");
    await ports.files.setMode("/a/b", 0o777);
    void ports.files.removeTree("/a", signal);
    while (machine.read("/a/b/data") !== undefined) await null;
    machine.powerCut();
    expect(machine.read("/a/b/data")).toBe("old");
    expect(await machine.start().files.stat("/a/b")).toMatchObject({ mode: 0o700 });
  });

  it("finds a renamed directory in its new place only", async () => {
    await ports.files.ensureDirectory("/a", { mode: 0o700 });
    await ports.files.makeDirectory("/a/x", { mode: 0o700 });
    await ports.files.makeDirectory("/b", { mode: 0o700 });
    await ports.files.syncDirectory("/a");
    await ports.files.rename("/a/x", "/b/y");
    machine.powerCut();
    const { files } = machine.start();
    expect([await files.list("/a"), await files.list("/b")]).toEqual([[], ["y"]]);
  });

  it("does not bring back what was removed durably", async () => {
    await ports.files.writeText("/a", "gone");
    await ports.files.remove("/a");
    machine.powerCut();
    expect(machine.read("/a")).toBeUndefined();
  });

  it("takes back subvolumes that were not committed, and brings back removed ones", async () => {
    await makePool();
    await ports.kernel.createSubvolume("/pool/old");
    machine.write("/pool/old/data", 8192);
    await ports.kernel.commitSubvolumes("/pool");
    await ports.kernel.createSubvolume("/pool/new");
    await ports.kernel.removeSubvolume("/pool/old");
    expect(await ports.files.list("/pool")).toEqual(["new"]);
    await reboot();
    expect(await ports.files.list("/pool")).toEqual(["old"]);
    expect(machine.read("/pool/old/data")).toBe(8192);
    expect(await ports.kernel.findSubvolume("/pool/old")).toBeDefined();
    await ports.kernel.removeSubvolume("/pool/old");
    await ports.kernel.commitSubvolumes("/pool");
    await reboot();
    expect(await ports.files.list("/pool")).toEqual([]);
  });

  it("keeps a renamed subvolume with all that was done before: btrfs commits the whole", async () => {
    await makePool();
    await ports.kernel.createSubvolume("/pool/new");
    machine.write("/pool/new/data", 8192);
    await ports.files.rename("/pool/new", "/pool/final");
    await reboot();
    expect(await ports.files.list("/pool")).toEqual(["final"]);
    expect(machine.read("/pool/final/data")).toBe(8192);
    expect(await ports.kernel.subvolumeUsage("/pool/final")).toBeDefined();
  });

  it("turns quotas off again that were not committed", async () => {
    await makePool();
    await reboot();
    expect(await ports.kernel.subvolumeUsage("/pool")).toBeUndefined();
  });

  it("takes back flags, limits and quotas that were not committed", async () => {
    await makePool();
    await ports.kernel.createSubvolume("/pool/a");
    await ports.kernel.commitSubvolumes("/pool");
    await ports.kernel.setSubvolumeReadOnly("/pool/a", true);
    await ports.kernel.limitSubvolume("/pool/a", 5 * MIB);
    await reboot();
    expect(await ports.kernel.findSubvolume("/pool/a")).toMatchObject({ readOnly: false });
    expect(await ports.kernel.subvolumeUsage("/pool/a")).toMatchObject({ limitBytes: null });
  });

  it("leaves figures that fit what is there", async () => {
    await makePool();
    await ports.kernel.createSubvolume("/pool/a");
    const empty = await ports.kernel.subvolumeUsage("/pool/a");
    machine.write("/pool/a/kept", 8192);
    await ports.kernel.commitSubvolumes("/pool");
    const kept = await ports.kernel.subvolumeUsage("/pool/a");
    expect(kept?.referencedBytes).toBe((empty?.referencedBytes ?? 0) + 8192);
    machine.write("/pool/a/lost", 4096);
    await ports.kernel.snapshotSubvolume("/pool/a", "/pool/b", { readOnly: true });
    expect((await ports.kernel.subvolumeUsage("/pool/a"))?.exclusiveBytes).toBe(
      empty?.exclusiveBytes,
    );
    await reboot();
    expect(await ports.kernel.subvolumeUsage("/pool/a")).toEqual(kept);
  });

  it("clears mounts, loop devices, processes and /run", async () => {
    await makePool();
    machine.write("/run/x", "x");
    machine.process({ pid: 7, mounts: [{ source: "/pool", target: "/data" }] });
    machine.reboot();
    const { kernel, files } = machine.start();
    expect((await kernel.mountTable()).map(({ mountPoint }) => mountPoint)).toEqual([
      "/",
      "/dev",
      "/run",
    ]);
    expect(await kernel.findLoops("/pool.img")).toEqual([]);
    expect(await kernel.mountNamespaces()).toHaveLength(1);
    expect(await files.list("/run")).toEqual([]);
  });
});

describe("a crash", () => {
  it("leaves files, mounts and loop devices, and settles nothing", async () => {
    await makePool();
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    ports.files.writeText("/a", "never").then(settle, settle);
    ports.clock.sleep(1, signal).then(settle, settle);
    machine.crash();
    ports.files.writeText("/b", "never").then(settle, settle);
    await machine.clock.advance(1000);
    expect(settled).toBe(false);
    expect([machine.read("/a"), machine.read("/b")]).toEqual([undefined, undefined]);
    const { kernel } = machine.start();
    expect(await kernel.findLoops("/pool.img")).toEqual(["/dev/loop0"]);
    expect((await kernel.mountTable()).at(-1)).toMatchObject({ mountPoint: "/pool" });
  });

  it("between effect and answer: the effect is there, the answer never comes", async () => {
    let answered = false;
    void ports.files.writeText("/a", "there").then(() => {
      answered = true;
    });
    while (machine.read("/a") === undefined) await null;
    machine.crash();
    await machine.clock.quiet();
    expect([machine.read("/a"), answered]).toEqual(["there", false]);
  });
});

describe("a subvolume's limit", () => {
  it("stops its writer, and nobody else", async () => {
    await makePool();
    await ports.kernel.createSubvolume("/pool/a");
    await ports.kernel.createSubvolume("/pool/b");
    await ports.kernel.limitSubvolume("/pool/a", MIB);
    expect(() => machine.write("/pool/a/data", 2 * MIB)).toThrow(/EDQUOT/);
    machine.write("/pool/b/data", 2 * MIB);
    machine.write("/pool/a/data", MIB / 2);
    expect(() => machine.write("/pool/a/more", MIB)).toThrow(/EDQUOT/);
    expect(machine.read("/pool/a/data")).toBe(MIB / 2);
  });

  it("is told apart from a full file system, and from a full disk under it", async () => {
    await makePool();
    expect(() => machine.write("/pool/data", 300 * MIB)).toThrow(/ENOSPC/);
    machine.write("/fill", 64 * 1024 * MIB - 100 * MIB);
    expect(() => machine.write("/pool/data", 200 * MIB)).toThrow(/EIO/);
    expect(() => machine.write("/pool/small", 1)).toThrow(/EROFS/);
  });
});

describe("a container", () => {
  beforeEach(async () => {
    await makePool();
    await ports.kernel.createSubvolume("/pool/layer");
    await ports.files.makeDirectory("/pool/layer/_data", { mode: 0o755 });
  });

  it("shows its bind mounts as mountinfo does, also after a rename and a removal", async () => {
    const containerId = "c".repeat(64);
    machine.process({
      pid: 42,
      command: "postgres",
      containerId,
      mounts: [{ source: "/pool/layer/_data", target: "/var/lib/data" }],
    });
    const seen = async () => {
      const spaces = await ports.kernel.mountNamespaces();
      return spaces.find(({ pid }) => pid === 42)?.entries.at(-1);
    };
    const pool = (await ports.kernel.mountTable()).find((entry) => entry.mountPoint === "/pool");
    expect(await seen()).toMatchObject({
      device: pool?.device,
      root: "/layer/_data",
      deleted: false,
      mountPoint: "/var/lib/data",
      type: "btrfs",
    });
    await ports.files.rename("/pool/layer", "/pool/trash");
    expect(await seen()).toMatchObject({ root: "/trash/_data", deleted: false });
    await ports.kernel.removeSubvolume("/pool/trash");
    expect(await seen()).toMatchObject({ root: "/trash/_data", deleted: true });
    expect(await ports.kernel.mountNamespaces()).toMatchObject([
      { pid: 1, own: true, containerId: null },
      { pid: 42, own: false, command: "postgres", containerId },
    ]);
  });

  it("writes where the machine sees it, unless its mount is read-only", async () => {
    const mounts = [{ source: "/pool/layer/_data", target: "/data" }];
    const writer = machine.process({ pid: 42, mounts });
    const reader = machine.process({
      pid: 43,
      mounts: mounts.map((mount) => ({ ...mount, readOnly: true })),
    });
    writer.write("/data/x", "hello");
    expect(machine.read("/pool/layer/_data/x")).toBe("hello");
    expect(reader.read("/data/x")).toBe("hello");
    expect(() => reader.write("/data/y", "no")).toThrow(/EROFS/);
  });

  it("keeps the file system and its loop device after the machine's own unmount, until it ends", async () => {
    const container = machine.process({
      pid: 42,
      mounts: [{ source: "/pool/layer/_data", target: "/data" }],
    });
    await ports.kernel.unmount("/pool");
    container.write("/data/x", "still here");
    expect(await ports.kernel.findLoops("/pool.img")).toEqual(["/dev/loop0"]);
    container.exit();
    expect(await ports.kernel.findLoops("/pool.img")).toEqual([]);
    await mountPool();
    expect(machine.read("/pool/layer/_data/x")).toBe("still here");
  });
});

it("is the same run for the same seed, and another order of calls for another", async () => {
  const order = async (seed: number): Promise<string> => {
    const { files } = new SimMachine({ seed, maxTurns: 8 }).start();
    const done: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        files.writeText(`/${index}`, "").then(() => done.push(index)),
      ),
    );
    return done.join();
  };
  expect(await order(1)).toBe(await order(1));
  expect(await order(1)).not.toBe(await order(2));
});
