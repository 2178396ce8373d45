import { beforeEach, expect, it } from "vitest";
import type { ExecResult } from "../core/ports/exec.ts";
import { SimMachine, type SimPorts } from "./machine.ts";

const MIB = 1024 ** 2;
const signal = new AbortController().signal;
let machine: SimMachine;
let ports: SimPorts;

beforeEach(() => {
  machine = new SimMachine({ seed: 1, rootType: "xfs" });
  ports = machine.start();
});

function run(...argv: [string, ...string[]]): Promise<ExecResult> {
  return ports.exec.run(argv, { timeoutMs: 60_000 }, signal);
}

it("refuses a command that is taken away, naming it", async () => {
  machine.commands.delete("mkfs.btrfs");
  await expect(run("mkfs.btrfs", "/x")).rejects.toMatchObject({
    code: "failed_precondition",
    message: expect.stringContaining("mkfs.btrfs"),
  });
});

it("kills a command that takes too long, and one that is aborted", async () => {
  const late = ports.exec.run(["sleep", "9"], { timeoutMs: 1000 }, signal);
  await expect(machine.clock.run(late)).rejects.toMatchObject({ code: "deadline_exceeded" });
  expect(machine.clock.monotonic()).toBe(1000);
  const stop = new AbortController();
  const aborted = ports.exec.run(["sleep", "9"], { timeoutMs: 60_000 }, stop.signal);
  await machine.clock.quiet();
  stop.abort("enough");
  await expect(aborted).rejects.toBe("enough");
  expect(machine.clock.tick(), "somebody still sleeps").toBe(false);
});

it("lets a command that takes time finish", async () => {
  expect(await machine.clock.run(run("sleep", "2"))).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(machine.clock.monotonic()).toBe(2000);
});

it("never answers a process that is dead by then", async () => {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  run("sleep", "2").then(settle, settle);
  await machine.clock.quiet();
  machine.crash();
  await machine.clock.advance(100_000);
  expect(settled).toBe(false);
});

it("makes a btrfs only where there is room and none yet, or with -f, and never on a mounted one", async () => {
  await ports.files.createSparse("/small", 100 * MIB);
  expect(await run("mkfs.btrfs", "-q", "/small")).toMatchObject({ code: 1 });
  expect(await run("mkfs.btrfs", "-q", "/absent")).toMatchObject({ code: 1 });
  machine.addDisk("/dev/sdb", 256 * MIB);
  expect(await run("mkfs.btrfs", "-q", "-L", "pool", "/dev/sdb")).toMatchObject({ code: 0 });
  const again = await run("mkfs.btrfs", "-q", "/dev/sdb");
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("use the -f option") });
  expect(await run("mkfs.btrfs", "-q", "-f", "/dev/sdb")).toMatchObject({ code: 0 });
  const mounted = { type: "btrfs", source: "/dev/sdb", target: "/tmp", options: [] };
  await ports.kernel.mount(mounted);
  expect(await run("mkfs.btrfs", "-q", "-f", "/dev/sdb")).toMatchObject({
    code: 1,
    stderr: "ERROR: /dev/sdb is mounted\n",
  });
});

it("copies a tree with its owners, modes, links and texts, sharing bytes where it can", async () => {
  await ports.files.makeDirectory("/from", { mode: 0o750, uid: 7, gid: 8 });
  machine.write("/from/data", "hello");
  machine.init.link("data", "/from/link");
  const before = await ports.kernel.statFileSystem("/");
  expect(await run("cp", "-a", "--reflink=auto", "/from", "/to")).toMatchObject({ code: 0 });
  expect(await ports.files.stat("/to")).toMatchObject({ mode: 0o750, uid: 7, gid: 8 });
  expect(await ports.files.stat("/to/link")).toMatchObject({ kind: "symlink" });
  expect(machine.read("/to/link")).toBe("hello");
  expect(await ports.kernel.statFileSystem("/")).toMatchObject({
    availableBytes: before.availableBytes,
  });
  machine.write("/to/data", "changed");
  expect(machine.read("/from/data")).toBe("hello");
  expect(await run("cp", "-a", "/absent", "/to")).toMatchObject({ code: 1 });
});

it("probes a disk, resolves a path and writes out one file system", async () => {
  machine.addDisk("/dev/sdb", 256 * MIB);
  expect(await run("blkid", "--probe", "--output", "export", "/dev/sdb")).toMatchObject({
    code: 2,
  });
  await run("mkfs.btrfs", "--quiet", "--label", "pool", "/dev/sdb");
  expect(await run("blkid", "--probe", "--output", "export", "/dev/sdb")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("TYPE=btrfs\n"),
  });
  await ports.kernel.mount({ type: "btrfs", source: "/dev/sdb", target: "/tmp", options: [] });
  machine.init.link("/tmp/inner", "/etc/link");
  expect(await run("realpath", "--canonicalize-existing", "--", "/etc/link")).toMatchObject({
    code: 1,
  });
  machine.init.makeDirectories("/tmp/inner");
  expect(await run("realpath", "--canonicalize-existing", "--", "/etc/link")).toMatchObject({
    stdout: "/tmp/inner\n",
  });
  machine.write("/tmp/inner/kept", "x");
  machine.write("/etc/lost", "x");
  expect(await run("sync", "--file-system", "/tmp/inner")).toMatchObject({ code: 0 });
  machine.reboot();
  ports = machine.start();
  await ports.kernel.mount({ type: "btrfs", source: "/dev/sdb", target: "/tmp", options: [] });
  expect([machine.read("/tmp/inner/kept"), machine.read("/etc/lost")]).toEqual(["x", undefined]);
});
