import { closeSync } from "node:fs";
import koffi from "koffi";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const POLLIN = 1;
const SOCK_CLOEXEC = 0o2000000;

/**
 * A listening unix socket that nobody accepts on, as systemd holds it for a service: whoever connects waits until a
 * daemon that was given the descriptor takes the connection. It outlives the daemon.
 *
 * Made with system calls, because Node accepts on every socket that it listens on.
 */
export class HeldSocket {
  readonly path: string;
  readonly descriptor: number;

  /** @param path At most 107 bytes; absent before. */
  constructor(path: string) {
    const address = Buffer.alloc(110);
    address.writeUInt16LE(AF_UNIX, 0);
    if (Buffer.byteLength(path) > 107) throw new Error(`${path}: too long for a unix socket`);
    address.write(path, 2);
    const libc = koffi.load(null);
    const socket = libc.func("int socket(int, int, int)");
    const bind = libc.func("int bind(int, const void *, uint32_t)");
    const listen = libc.func("int listen(int, int)");
    const descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) as number;
    if (bind(descriptor, address, address.length) !== 0 || listen(descriptor, 128) !== 0) {
      throw new Error(`Cannot listen on ${path}: errno ${koffi.errno()}`);
    }
    this.path = path;
    this.descriptor = descriptor;
  }

  /** True while somebody has connected whom no daemon has taken on yet. */
  get waitedFor(): boolean {
    // struct pollfd: descriptor, events, and what came of them.
    const entry = Buffer.alloc(8);
    entry.writeInt32LE(this.descriptor, 0);
    entry.writeInt16LE(POLLIN, 4);
    return koffi.load(null).func("int poll(void *, unsigned long, int)")(entry, 1, 0) === 1;
  }

  /** Those who wait are disconnected. The socket's file stays, as systemd leaves it. */
  close(): void {
    closeSync(this.descriptor);
  }
}
