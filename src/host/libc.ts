import koffi from "koffi";

/*
 * The calls of libc that Node does not have. For worker threads only: every one of them can wait. A call that fails
 * throws with the errno's name, read before anything else can change it.
 */

const libc = koffi.load("libc.so.6");
const rawMount = libc.func("int mount(str, str, str, ulong, str)");
const rawUmount = libc.func("int umount2(str, int)");
const rawIoctl = libc.func("int ioctl(int, ulong, void *)");
const rawIoctlNumber = libc.func("ioctl", "int", ["int", "ulong", "long"]);
const rawRename = libc.func("int renameat2(int, str, int, str, uint)");

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(koffi.os.errno).map(([name, number]) => [number, name]),
);

/** A call of the system that failed. */
export class SyscallError extends Error {
  readonly call: string;
  readonly path: string;
  /** Name of the errno, such as `EBUSY`. */
  readonly errno: string;

  constructor(call: string, path: string, errno: string) {
    super(`${call} ${path}: ${errno}`);
    this.call = call;
    this.path = path;
    this.errno = errno;
  }
}

function check(result: number, call: string, path: string): number {
  if (result >= 0) return result;
  const number = koffi.errno();
  throw new SyscallError(call, path, ERRNO_NAMES.get(number) ?? `errno ${number}`);
}

/** mount(2). */
export function mount(
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
): void {
  check(rawMount(source, target, type, flags, data), "mount", `${source} on ${target}`);
}

/** umount2(2). */
export function unmount(target: string, flags: number): void {
  check(rawUmount(target, flags), "unmount", target);
}

/** ioctl(2) with a structure, which the kernel reads and writes. @param what For messages. */
export function ioctl(
  fd: number,
  request: number,
  structure: Buffer,
  what: string,
  path: string,
): number {
  return check(rawIoctl(fd, request, structure), what, path);
}

/** ioctl(2) with a number. */
export function ioctlNumber(
  fd: number,
  request: number,
  value: number,
  what: string,
  path: string,
): number {
  return check(rawIoctlNumber(fd, request, value), what, path);
}

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;

/** renameat2(2) that never replaces the target. */
export function renameNoReplace(from: string, to: string): void {
  check(rawRename(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE), "rename", `${from} to ${to}`);
}
