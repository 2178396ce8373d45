import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Log } from "../../core/ports/log.ts";
import type { RestAnswer } from "./route.ts";

/** Pieces of an answer. */
type Pieces = AsyncIterable<string | Uint8Array>;

/** What {@link streamWhile} needs beside the work. */
interface Streaming {
  readonly head: Readonly<Record<string, string>>;
  readonly log: Log;
  /** Aborts when the client has gone. */
  readonly gone: AbortSignal;
}

/**
 * An answer that is made while it is read, as fast as its client takes it. `work` holds what the pieces need until `send`
 * has settled. What fails before the first piece is a failure like any other; what fails later cuts the connection, so
 * that nobody takes a part for the whole.
 */
export function streamWhile(
  { head, log, gone }: Streaming,
  work: (send: (pieces: Pieces) => Promise<void>) => Promise<void>,
): Promise<RestAnswer> {
  return new Promise((resolve, reject) => {
    const send = async (pieces: Pieces): Promise<void> => {
      const rest = pieces[Symbol.asyncIterator]();
      const first = await rest.next();
      await new Promise<void>((done) => {
        const stream = (response: ServerResponse): void => {
          response.writeHead(200, head);
          pipeline(Readable.from(resumed(first, rest)), response)
            .catch((error: unknown) => {
              if (!gone.aborted) log.error("answer cut off", { error });
            })
            .finally(done);
        };
        gone.addEventListener("abort", () => {
          void Promise.resolve(rest.return?.())
            .catch(() => undefined)
            .finally(done);
        });
        resolve({ stream });
      });
    };
    work(send).catch(reject);
  });
}

async function* resumed<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  if (first.done === true) return;
  yield first.value;
  yield* { [Symbol.asyncIterator]: () => rest };
}
