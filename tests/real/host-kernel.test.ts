import { spawn } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { SyscallThreads } from "../../src/host/syscall-threads.ts";
import { mountInTable } from "../../src/host/syscalls-mount-of.ts";
import { command, HostMachine } from "../conformance/host-machine.ts";

const MIB = 1024 ** 2;
/** From Linux 6.13 on the kernel tells all of one mount; before, the table is read. */
const [major = 0, minor = 0] = release().split(".").map(Number);
const asksOfOne = major > 6 || (major === 6 && minor >= 13);
let machine: HostMachine;
let undo: (() => Promise<unknown>)[];

beforeEach(async () => {
  undo = [];
  machine = await HostMachine.make();
});
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  await machine.cleanup();
});

/** Mounts a FUSE file system whose server never answers. @returns What ends the server. */
async function mountDead(name: string): Promise<{ path: string; end: () => void }> {
  const path = await machine.makeDirectory(name);
  const fd = openSync("/dev/fuse", "r+");
  let open = true;
  const end = (): void => {
    if (open) closeSync(fd);
    open = false;
  };
  undo.push(async () => end());
  const options = [`fd=${fd}`, "rootmode=40000", "user_id=0", "group_id=0"];
  await hostKernel.mount({ type: "fuse", source: "dead", target: path, options });
  return { path, end };
}

/** Bytes that this process has read, of files and of what the kernel tells. */
async function readSoFar(): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await readFile("/proc/self/io", "utf8"))?.[1]);
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("1 calls that hang", () => {
  it("hold up no other, and end when what they wait for ends", async () => {
    const dead = await mountDead("dead");
    let ended = 0;
    const hanging = Array.from({ length: 5 }, async () => {
      await expect(hostKernel.statFileSystem(dead.path)).rejects.toThrow(dead.path);
      ended++;
    });
    for (let round = 0; round < 50; round++) await hostKernel.statFileSystem(machine.directory);
    const source = await machine.makeDirectory("source");
    const target = await machine.makeDirectory("target");
    await hostKernel.mount({ type: "bind", source, target, options: ["ro"] });
    await hostKernel.unmount(target);
    expect(ended).toBe(0);
    dead.end();
    await Promise.all(hanging);
    await hostKernel.unmount(dead.path);
  });

  it("take threads up to the limit, which go again when all is quiet", async () => {
    const threads = new SyscallThreads({ limit: 3, idleMs: 20 });
    const dead = await mountDead("dead");
    await threads.call("statFileSystem", machine.directory);
    expect(threads.size).toBe(1);
    const hanging = Array.from({ length: 3 }, () =>
      threads.call("statFileSystem", dead.path).catch(() => "ended"),
    );
    await until(() => threads.size === 3);
    let done = false;
    const waiting = threads.call("statFileSystem", machine.directory).then(() => {
      done = true;
    });
    await hostKernel.statFileSystem(machine.directory);
    expect(done).toBe(false);
    expect(threads.size).toBe(3);
    dead.end();
    expect(await Promise.all(hanging)).toEqual(["ended", "ended", "ended"]);
    await waiting;
    await until(() => threads.size === 1);
    await threads.call("statFileSystem", machine.directory);
    expect(threads.size).toBe(1);
  });

  it("many quick calls at once start few threads", async () => {
    const threads = new SyscallThreads();
    await threads.call("statFileSystem", machine.directory);
    const calls = Array.from({ length: 500 }, () => threads.call("statFileSystem", "/"));
    expect(new Set((await Promise.all(calls)).map(({ type }) => type)).size).toBe(1);
    expect(threads.size).toBeLessThan(8);
  });
});

describe("mounts", () => {
  it("3 refuses options that nothing knows, and takes more than a page of those that are known", async () => {
    const target = await machine.makeDirectory("target");
    const bind = { type: "bind", source: target, target, options: ["size=1m"] };
    await expect(hostKernel.mount(bind)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("size=1m"),
    });
    const tmpfs = { type: "tmpfs", source: "tmpfs", target };
    const mounting = hostKernel.mount({ ...tmpfs, options: ["lagan=1"] });
    await expect(mounting).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await machine.mountPoints()).toEqual([]);
    await hostKernel.mount({ ...tmpfs, options: Array.from({ length: 1000 }, () => "size=1m") });
    expect(await machine.mountPoints()).toEqual([target]);
    await hostKernel.unmount(target);
  });

  it("6 tells the mounts of another namespace, with the process and its name", async () => {
    const target = await machine.makeDirectory("target");
    const script = `mount -t tmpfs inside ${target} && echo ready && exec sleep infinity`;
    const child = spawn("unshare", ["--mount", "--propagation=private", "sh", "-c", script], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    undo.push(async () => {
      child.kill("SIGKILL");
      await exited;
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await until(async () => (await readFile(`/proc/${child.pid}/comm`, "utf8")) === "sleep\n");
    const namespaces = await hostKernel.mountNamespaces();
    const other = namespaces.find(({ pid }) => pid === child.pid);
    expect(other).toMatchObject({ own: false, command: "sleep", containerId: null });
    const sees = (entries: readonly { mountPoint: string }[] = []): boolean =>
      entries.some(({ mountPoint }) => mountPoint === target);
    expect(sees(other?.entries)).toBe(true);
    expect(sees(await hostKernel.mountTable())).toBe(false);
    child.kill("SIGKILL");
    await exited;
    const after = await hostKernel.mountNamespaces();
    expect(after.some(({ entries }) => sees(entries))).toBe(false);
  });
});

describe("26 the mount of one path", () => {
  it("is told also when its server never answers", async () => {
    const dead = await mountDead("dead");
    expect(await hostKernel.mountOf(dead.path)).toMatchObject({ mountPoint: dead.path });
    dead.end();
    await hostKernel.unmount(dead.path);
  });

  it("is told of the table the same, for older kernels", async () => {
    const source = await machine.makeDirectory("source");
    const target = await machine.makeDirectory("target");
    await hostKernel.mount({ type: "bind", source, target, options: ["ro", "nodev"] });
    for (const path of ["/", "/proc", "/proc/self/status", source, target]) {
      expect(mountInTable(path)).toEqual(await hostKernel.mountOf(path));
    }
    expect(mountInTable(`${target}/none`)).toBeUndefined();
    await hostKernel.unmount(target);
    const dead = await mountDead("dead");
    expect(mountInTable(dead.path)).toEqual(await hostKernel.mountOf(dead.path));
    dead.end();
    await hostKernel.unmount(dead.path);
  });

  it.skipIf(!asksOfOne)("costs the same however much is mounted", async () => {
    const MOUNTS = 200;
    const source = await machine.makeDirectory("source");
    const targets: string[] = [];
    for (let n = 0; n < MOUNTS; n++) targets.push(await machine.makeDirectory(`target-${n}`));
    const request = { type: "bind", source, options: [] };
    for (const target of targets) await hostKernel.mount({ ...request, target });
    const tableBytes = (await readFile("/proc/self/mountinfo")).length;
    expect(tableBytes).toBeGreaterThan(MOUNTS * 50);
    const before = await readSoFar();
    for (const target of targets) await hostKernel.mountOf(target);
    // A tenth: the other things that a process reads meanwhile are far less than that.
    expect((await readSoFar()) - before).toBeLessThan((MOUNTS * tableBytes) / 10);
  });
});

describe("loop devices", () => {
  it("9 uses direct I/O where the file system has it", async () => {
    const image = await machine.makeImage("image", "ext4", 16 * MIB);
    const device = await hostKernel.attachLoop(image);
    undo.push(() => hostKernel.detachLoop(device));
    const dio = await readFile(`/sys/block/${device.slice("/dev/".length)}/loop/dio`, "utf8");
    expect(dio).toBe("1\n");
  });

  it("leaves a device attached that somebody else set up", async () => {
    const image = await machine.makeImage("image", "ext4", 16 * MIB);
    const device = (await command("losetup", "--find", "--show", image)).trim();
    undo.push(() => hostKernel.detachLoop(device));
    const target = await machine.makeDirectory("target");
    await hostKernel.mount({ type: "ext4", source: device, target, options: [] });
    await hostKernel.unmount(target);
    expect(await hostKernel.findLoops(image)).toEqual([device]);
  });

  it("9 makes the node of a device where /dev lacks it", async () => {
    const image = await machine.makeImage("image", "ext4", 16 * MIB);
    undo.push(async () => {
      for (const device of await hostKernel.findLoops(image)) await hostKernel.detachLoop(device);
    });
    const calls = new URL("../../src/host/syscalls-loop.ts", import.meta.url).href;
    const script = `
      const { attachLoop, findLoops } = await import(${JSON.stringify(calls)});
      const image = ${JSON.stringify(image)};
      console.log(attachLoop(image), ...findLoops(image));`;
    // A /dev of its own, as in a container.
    const prepare =
      "mount -t tmpfs dev /dev && mknod /dev/loop-control c 10 237 && mknod /dev/null c 1 3";
    const node = [process.execPath, "--input-type=module", "-e", script];
    const shell = ["sh", "-c", `${prepare} && exec "$@"`, "sh", ...node];
    const shown = await command("unshare", "--mount", "--propagation=private", ...shell);
    const [device, ...found] = shown.trim().split(" ");
    expect(found).toEqual([device]);
    expect(await hostKernel.findLoops(image)).toEqual([device]);
  });
});

describe("subvolumes", () => {
  it("17 waits until the commit is on the disk", async () => {
    const image = await machine.makeImage("image", "btrfs", 256 * MIB);
    const disk = await machine.mount("-o loop", image, "disk");
    const file = openSync(image, "r");
    undo.push(async () => closeSync(file));
    // The super block: 64 KiB into the disk, its generation at byte 72 (btrfs(5)).
    const generation = (): bigint => {
      const bytes = Buffer.alloc(8);
      readSync(file, bytes, 0, 8, 65_536 + 72);
      return bytes.readBigUInt64LE();
    };
    for (let round = 0; round < 20; round++) {
      await hostKernel.createSubvolume(`${disk}/${round}`);
      const before = generation();
      await hostKernel.commitSubvolumes(disk);
      expect(generation()).toBeGreaterThan(before);
    }
  });

  it("14 takes the qgroups of removed subvolumes away in time", async () => {
    const image = await machine.makeImage("image", "btrfs", 256 * MIB);
    const disk = await machine.mount("-o loop,commit=1", image, "disk");
    await hostKernel.enableQuotas(disk);
    const qgroups = async (): Promise<number> =>
      (await command("btrfs", "qgroup", "show", "--raw", disk)).split("\n").length;
    await hostKernel.createSubvolume(`${disk}/last`);
    const before = await qgroups();
    for (const name of ["a", "b", "c", "d"]) {
      await hostKernel.createSubvolume(`${disk}/${name}`);
      await hostKernel.removeSubvolume(`${disk}/${name}`);
    }
    await command("btrfs", "subvolume", "sync", disk);
    await hostKernel.removeSubvolume(`${disk}/last`);
    expect(await qgroups()).toBeLessThanOrEqual(before);
  });

  it("18 counts again when the figures have become inconsistent", async () => {
    const image = await machine.makeImage("image", "btrfs", 256 * MIB);
    const disk = await machine.mount("-o loop", image, "disk");
    await hostKernel.createSubvolume(`${disk}/v`);
    await writeFile(`${disk}/v/file`, new Uint8Array(4 * MIB).fill(1), { flush: true });
    await hostKernel.snapshotSubvolume(`${disk}/v`, `${disk}/s`, { readOnly: true });
    await hostKernel.enableQuotas(disk);
    // Assigning a group by hand, of bytes that another one shares, without a count, makes them so.
    await command("btrfs", "qgroup", "create", "1/1", disk);
    const { id } = (await hostKernel.findSubvolume(`${disk}/v`)) ?? { id: 0 };
    await command("btrfs", "qgroup", "assign", "--no-rescan", `0/${id}`, "1/1", disk);
    await hostKernel.enableQuotas(disk);
    const shown = await command("btrfs", "qgroup", "show", "--raw", disk);
    const parent = shown.split("\n").find((line) => line.startsWith("1/1"));
    expect(Number(parent?.split(/ +/)[1])).toBeGreaterThanOrEqual(4 * MIB);
  });
});

it("a text is whole whenever its writer is killed, and nothing of the dead writer stays", async () => {
  const directory = await machine.makeDirectory("texts");
  const files = new URL("../../src/host/files.ts", import.meta.url).href;
  const script = `
    const { hostFiles } = await import(${JSON.stringify(files)});
    for (let round = 0; ; round++) {
      await hostFiles.writeText(${JSON.stringify(`${directory}/a`)}, String(round % 10).repeat(300_000));
      if (round === 0) console.log("ready");
    }`;
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    undo.push(async () => {
      child.kill("SIGKILL");
      await exited;
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await new Promise((resolve) => setTimeout(resolve, 1 + round * 3));
    child.kill("SIGKILL");
    await exited;
    const text = (await hostFiles.readText(`${directory}/a`)) ?? "";
    expect(text).toBe((text[0] ?? "").repeat(300_000));
  }
  await hostFiles.writeText(`${directory}/a`, "mine");
  expect(await hostFiles.list(directory)).toEqual(["a"]);
});
