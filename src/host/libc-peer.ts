import koffi from "koffi";
import { errnoName } from "./errno.ts";
import { SyscallError } from "./libc.ts";

/*
 * Calls of libc about the process at the other end of a socket. For worker threads only.
 */

const libc = koffi.load("libc.so.6");
const rawGetsockopt = libc.func("int getsockopt(int, int, int, void *, void *)");
// Not in every libc that we meet (glibc 2.36), so by number, the same on all architectures since 5.6.
const rawPidfdOpen = libc.func("syscall", "long", ["long", "int", "uint"]);
const rawPidfdGetfd = libc.func("syscall", "long", ["long", "int", "int", "uint"]);
const rawClose = libc.func("int close(int)");

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const ROOT = 0;

function check(result: number, call: string): number {
  if (result >= 0) return result;
  throw new SyscallError(call, "the caller", errnoName(koffi.errno()));
}

/** A descriptor of our own for the file that the process at the other end of a UNIX socket, which must be root's, knows as `number`. */
export function takeFileOfPeer(socket: number, number: number): number {
  // struct ucred: pid, uid, gid.
  const peer = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(peer.length);
  check(rawGetsockopt(socket, SOL_SOCKET, SO_PEERCRED, peer, length), "identify");
  // 0: it is in another process namespace, out of sight.
  const pid = peer.readInt32LE(0);
  if (pid <= 0) throw new SyscallError("identify", "the caller", "ESRCH");
  if (peer.readUInt32LE(4) !== ROOT) throw new SyscallError("trust", "the caller", "EPERM");
  const process = check(rawPidfdOpen(SYS_PIDFD_OPEN, pid, 0), "identify");
  try {
    return check(rawPidfdGetfd(SYS_PIDFD_GETFD, process, number, 0), "take a file of");
  } finally {
    rawClose(process);
  }
}
