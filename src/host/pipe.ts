import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { syscallThreads } from "./syscall-threads.ts";

/*
 * Pipes to and from children, for much data: the sockets that Node makes for them carry it in a third of the size, at twice the
 * cost for both sides.
 */

/** What a pipe holds. */
const CAPACITY_BYTES = 1024 ** 2;
/** Most that is read at once. */
const READ_BYTES = 256 * 1024;

/** A pipe with one end for us and one for a child, which is a plain descriptor until the child has it. */
export interface ChildPipe {
  readonly ours: number;
  readonly theirs: number;
}

/** A new pipe. @param direction Who reads. Either end must be closed by someone. */
export async function makeChildPipe(direction: "we read" | "we write"): Promise<ChildPipe> {
  const { readFd, writeFd } = await syscallThreads.call("makePipe", CAPACITY_BYTES);
  return direction === "we read"
    ? { ours: readFd, theirs: writeFd }
    : { ours: writeFd, theirs: readFd };
}

/** Lets go of the child's end, once the child has it. */
export function closeTheirs({ theirs }: ChildPipe): void {
  closeSync(theirs);
}

/** Our end, to write to. */
export function writerOf({ ours }: ChildPipe): Socket {
  return new Socket({ fd: ours, readable: false, writable: true });
}

/** What comes out of our end, until the child closes its own; closed when the loop is left. */
export async function* readerOf({
  ours,
}: Pick<ChildPipe, "ours">): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces: Uint8Array[] = [];
  let fault: unknown;
  let ended = false;
  let wake: () => void = () => undefined;
  const socket = new Socket({
    fd: ours,
    readable: true,
    writable: false,
    onread: {
      // A new one each time: whoever gets a piece may keep it.
      buffer: () => Buffer.allocUnsafeSlow(READ_BYTES),
      callback: (length, buffer) => {
        pieces.push(buffer.subarray(0, length));
        wake();
        // Enough until it is taken.
        return false;
      },
    },
  });
  socket.once("error", (thrown) => {
    fault = thrown;
  });
  socket.once("close", () => {
    ended = true;
    wake();
  });
  socket.resume();
  try {
    for (;;) {
      const piece = pieces.shift();
      if (piece !== undefined) {
        yield piece;
        socket.resume();
      } else if (ended) break;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    if (fault !== undefined) throw fault;
  } finally {
    socket.destroy();
  }
}
