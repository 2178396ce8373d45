import { constants as fs, readdirSync, readFileSync, statSync } from "node:fs";
import {
  attempt,
  errnoOfCall,
  ioctl,
  ioctlNumber,
  makeNode,
  SyscallError,
  withFile,
} from "./libc.ts";

// linux/loop.h (6.1)
const LOOP_CLR_FD = 0x4c01;
const LOOP_SET_STATUS64 = 0x4c04;
const LOOP_GET_STATUS64 = 0x4c05;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CTL_GET_FREE = 0x4c82;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;
/** struct loop_info64, in bytes, and where its fields lie. */
const INFO_BYTES = 232;
const INFO = { device: 0, inode: 8, flags: 52, fileName: 56 } as const;
/** struct loop_config: fd, block size, loop_info64, 64 reserved bytes. */
const CONFIG_BYTES = 304;
const CONFIG = { fd: 0, blockSize: 4, info: 8 } as const;
/** The name that a device keeps for us: it tells ours from devices that somebody else set up. */
const MARK = "lagan";
/** How often another process may take the free device before us. */
const RACES_LIMIT = 64;

/** What a new device is to be. */
interface DeviceForm {
  /** 0: what suits direct I/O. */
  readonly blockBytes: number;
  readonly readOnly: boolean;
}

/** `Kernel.attachLoop`. @param blockBytes As in {@link DeviceForm}. */
export function attachLoop(file: string, blockBytes: number = 0): string {
  return attachAs(file, { blockBytes, readOnly: false });
}

/** `Kernel.attachDevice`. */
export function attachDevice(file: string, readOnly: boolean): string {
  // Blocks of one size for ever: what is on the device is laid out in them, and its copies are to be read as well.
  const form = { blockBytes: 512, readOnly };
  return findLoops(file).find((device) => keepLoop(device, file, readOnly)) ?? attachAs(file, form);
}

/** Ends a detaching that waits for the last use. False for a device of the other kind, and for one that is gone by then. */
function keepLoop(device: string, file: string, readOnly: boolean): boolean {
  const info = readStatus(device);
  const flags = info?.readUInt32LE(INFO.flags) ?? 0;
  if (info === undefined || ((flags & LO_FLAGS_READ_ONLY) !== 0) !== readOnly) return false;
  if ((flags & LO_FLAGS_AUTOCLEAR) === 0) return true;
  info.writeUInt32LE(flags & ~LO_FLAGS_AUTOCLEAR, INFO.flags);
  const kept = unlessUnattached(() =>
    withFile("set up", device, fs.O_RDWR, (fd) => {
      ioctl(fd, LOOP_SET_STATUS64, info, "set up", device);
      return true;
    }),
  );
  return kept === true && findLoops(file).includes(device);
}

function attachAs(file: string, form: DeviceForm): string {
  return withFile("attach", file, fs.O_RDWR, (backing) => {
    for (let race = 0; race < RACES_LIMIT; race++) {
      const device = freeDevice(file);
      if (configure(device, backing, file, form)) return device;
    }
    const why = "other processes take every free loop device";
    throw new SyscallError("attach", file, "EBUSY", { why });
  });
}

function freeDevice(file: string): string {
  const control = "/dev/loop-control";
  const number = withFile("attach", control, fs.O_RDWR, (fd) =>
    ioctlNumber(fd, LOOP_CTL_GET_FREE, 0, "find a loop device for", file),
  );
  const device = `/dev/loop${number}`;
  if (statSync(device, { throwIfNoEntry: false }) === undefined) makeDevice(device);
  return device;
}

/** In a container /dev does not follow the kernel: the node of a new device is missing there. */
function makeDevice(device: string): void {
  const name = device.slice("/dev/".length);
  const numbers = attempt("read", device, () => readFileSync(`/sys/block/${name}/dev`, "utf8"));
  const [major = 0, minor = 0] = numbers.split(":").map(Number);
  // makedev(3) for numbers below 2^12 and 2^20.
  const packed = (major << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
  try {
    makeNode(device, fs.S_IFBLK | 0o660, packed);
  } catch (thrown) {
    if (errnoOfCall(thrown) !== "EEXIST") throw thrown;
  }
}

/** False when somebody else took the device meanwhile. */
function configure(
  device: string,
  backing: number,
  file: string,
  { blockBytes, readOnly }: DeviceForm,
): boolean {
  const access = readOnly ? LO_FLAGS_READ_ONLY : 0;
  return withFile("attach", device, fs.O_RDWR, (fd) => {
    for (const flags of [LO_FLAGS_DIRECT_IO, 0]) {
      const config = Buffer.alloc(CONFIG_BYTES);
      config.writeUInt32LE(backing, CONFIG.fd);
      config.writeUInt32LE(blockBytes, CONFIG.blockSize);
      config.writeUInt32LE(flags | access, CONFIG.info + INFO.flags);
      config.write(MARK, CONFIG.info + INFO.fileName);
      try {
        ioctl(fd, LOOP_CONFIGURE, config, "attach", file);
        return true;
      } catch (thrown) {
        const errno = errnoOfCall(thrown);
        if (errno === "EBUSY") return false;
        // Perhaps the file system has no direct I/O.
        if (errno !== "EINVAL" || flags === 0) throw thrown;
      }
    }
    return false;
  });
}

/** `Kernel.findLoops`. */
export function findLoops(file: string): readonly string[] {
  const { dev, ino } = attempt("find loop devices of", file, () =>
    statSync(file, { bigint: true }),
  );
  return attachedNumbers().flatMap((number) => {
    const device = `/dev/loop${number}`;
    const info = readStatus(device);
    if (info === undefined) return [];
    const same =
      info.readBigUInt64LE(INFO.device) === dev && info.readBigUInt64LE(INFO.inode) === ino;
    return same ? [device] : [];
  });
}

function attachedNumbers(): readonly number[] {
  return attempt("list", "/sys/block", () => readdirSync("/sys/block"))
    .filter((name) => /^loop\d+$/.test(name))
    .filter((name) => statSync(`/sys/block/${name}/loop`, { throwIfNoEntry: false }) !== undefined)
    .map((name) => Number(name.slice("loop".length)))
    .sort((a, b) => a - b);
}

/** Undefined when nothing is attached. */
function readStatus(device: string): Buffer | undefined {
  return unlessUnattached(() =>
    withFile("look at", device, fs.O_RDONLY, (fd) => {
      const info = Buffer.alloc(INFO_BYTES);
      ioctl(fd, LOOP_GET_STATUS64, info, "look at", device);
      return info;
    }),
  );
}

/**
 * Lets a device of ours, which is mounted, detach itself when its file system is unmounted for the last time. Set any
 * earlier, it would detach itself at the next close, such as ours.
 */
export function releaseLoopAfterUse(device: string): void {
  const info = readStatus(device);
  if (info === undefined || info.toString("utf8", INFO.fileName).split("\0")[0] !== MARK) return;
  info.writeUInt32LE(info.readUInt32LE(INFO.flags) | LO_FLAGS_AUTOCLEAR, INFO.flags);
  withFile("set up", device, fs.O_RDWR, (fd) =>
    ioctl(fd, LOOP_SET_STATUS64, info, "set up", device),
  );
}

/** `Kernel.detachLoop`. */
export function detachLoop(device: string): void {
  unlessUnattached(() =>
    withFile("detach", device, fs.O_RDWR, (fd) =>
      ioctlNumber(fd, LOOP_CLR_FD, 0, "detach", device),
    ),
  );
}

/** Undefined when there is no such device, or nothing is attached to it. */
function unlessUnattached<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    const errno = errnoOfCall(thrown);
    if (errno === "ENXIO" || errno === "ENOENT") return undefined;
    throw thrown;
  }
}
