import { closeSync, openSync, readdirSync, statSync } from "node:fs";
import { ioctl, ioctlNumber, SyscallError } from "./libc.ts";

// linux/loop.h (6.1)
const LOOP_SET_STATUS64 = 0x4c04;
const LOOP_GET_STATUS64 = 0x4c05;
const LOOP_CLR_FD = 0x4c01;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CTL_GET_FREE = 0x4c82;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;
/** struct loop_info64, in bytes, and where its fields lie. */
const INFO_BYTES = 232;
const INFO = { device: 0, inode: 8, flags: 52, fileName: 56 } as const;
/** struct loop_config: fd, block size, loop_info64, 64 reserved bytes. */
const CONFIG_BYTES = 304;
const CONFIG = { fd: 0, info: 8 } as const;
const FILE_NAME_BYTES = 64;
/** How often another process may take the free device before us. */
const RACES_LIMIT = 32;

/** Attaches a file to a free loop device, with direct I/O where the file's file system has it. */
export function attachLoop(file: string): string {
  const backing = openSync(file, "r+");
  try {
    for (let race = 0; race < RACES_LIMIT; race++) {
      const device = `/dev/loop${freeNumber()}`;
      if (configure(device, backing, file)) return device;
    }
    throw new SyscallError("attach", file, "EBUSY");
  } finally {
    closeSync(backing);
  }
}

function freeNumber(): number {
  return withFile("/dev/loop-control", "r+", (fd) =>
    ioctlNumber(fd, LOOP_CTL_GET_FREE, 0, "find a free loop device for", "/dev/loop-control"),
  );
}

/** False when somebody else took the device meanwhile. */
function configure(device: string, backing: number, file: string): boolean {
  return withFile(device, "r+", (fd) => {
    for (const flags of [LO_FLAGS_DIRECT_IO, 0]) {
      const config = Buffer.alloc(CONFIG_BYTES);
      config.writeUInt32LE(backing, CONFIG.fd);
      config.writeUInt32LE(flags, CONFIG.info + INFO.flags);
      config.write(
        file.slice(-FILE_NAME_BYTES + 1),
        CONFIG.info + INFO.fileName,
        FILE_NAME_BYTES - 1,
      );
      try {
        ioctl(fd, LOOP_CONFIGURE, config, "attach", `${file} to ${device}`);
        return true;
      } catch (thrown) {
        const errno = thrown instanceof SyscallError ? thrown.errno : "";
        if (errno === "EBUSY") return false;
        if (errno !== "EINVAL" || flags === 0) throw thrown;
      }
    }
    return false;
  });
}

/** Devices attached to this very file: compared by device and inode, not by path. */
export function findLoops(file: string): readonly string[] {
  const { dev, ino } = statSync(file, { bigint: true });
  return loopNumbers().flatMap((number) => {
    const device = `/dev/loop${number}`;
    const info = readStatus(device);
    if (info === undefined) return [];
    const same =
      info.readBigUInt64LE(INFO.device) === dev && info.readBigUInt64LE(INFO.inode) === ino;
    return same ? [device] : [];
  });
}

function loopNumbers(): readonly number[] {
  return readdirSync("/sys/block")
    .flatMap((name) => (/^loop\d+$/.test(name) ? [Number(name.slice("loop".length))] : []))
    .sort((a, b) => a - b);
}

/** Undefined when nothing is attached. */
function readStatus(device: string): Buffer | undefined {
  return withFile(device, "r", (fd) => {
    const info = Buffer.alloc(INFO_BYTES);
    try {
      ioctl(fd, LOOP_GET_STATUS64, info, "look at", device);
      return info;
    } catch (thrown) {
      if (thrown instanceof SyscallError && thrown.errno === "ENXIO") return undefined;
      throw thrown;
    }
  });
}

/** Lets a mounted loop device detach itself when its file system is unmounted for the last time. */
export function releaseLoopAfterUse(device: string): void {
  const info = readStatus(device);
  if (info === undefined) return;
  info.writeUInt32LE(info.readUInt32LE(INFO.flags) | LO_FLAGS_AUTOCLEAR, INFO.flags);
  withFile(device, "r+", (fd) => ioctl(fd, LOOP_SET_STATUS64, info, "set up", device));
}

/** Detaches now, or after the last use; not attached, or no such device, is success. */
export function detachLoop(device: string): void {
  try {
    withFile(device, "r+", (fd) => ioctlNumber(fd, LOOP_CLR_FD, 0, "detach", device));
  } catch (thrown) {
    const errno = thrown instanceof SyscallError ? thrown.errno : "";
    if (errno !== "ENXIO") throw thrown;
  }
}

function withFile<T>(path: string, flags: string, work: (fd: number) => T): T {
  const fd = openSync(path, flags);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}
