import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { Failure } from "../core/failure.ts";
import { algorithmOf, type Digest, hexOf } from "../core/image/digest.ts";
import { writeAll } from "./image-spool.ts";
import { ATTEMPTS, pause, type RegistryClient, reasonOf } from "./registry-client.ts";

/** Longest time without a byte, in milliseconds, before the connection is taken for dead. */
const SILENCE_LIMIT_MS = 60_000;

/** A blob to be brought. */
export interface Download {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** New file that it is written to. */
  readonly path: string;
  readonly received: (bytes: number) => void;
}

/**
 * Brings a blob into a file, and verifies it. What breaks off goes on where it was (`Range`), as long as each attempt
 * brings something, and some times when it brings nothing.
 *
 * @throws {Failure} `data_loss` when it is not what its digest says; `unavailable`.
 */
export async function downloadBlob(
  client: RegistryClient,
  download: Download,
  signal: AbortSignal,
): Promise<void> {
  const { digest, sizeBytes, path } = download;
  const file = await open(path, "wx", 0o600);
  try {
    const hash = createHash(algorithmOf(digest));
    const take = async (piece: Uint8Array): Promise<void> => {
      await writeAll(file, piece, path);
      hash.update(piece);
      download.received(piece.length);
    };
    await takeAll(client, download, take, signal);
    if (hash.digest("hex") !== hexOf(digest)) {
      throw damaged(digest, "its content is another", sizeBytes);
    }
  } finally {
    await file.close();
  }
}

async function takeAll(
  client: RegistryClient,
  { digest, sizeBytes }: Download,
  take: (piece: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let at = 0;
  for (let failed = 0; at < sizeBytes; ) {
    const before = at;
    const headers: Record<string, string> = at === 0 ? {} : { range: `bytes=${at}-` };
    const answer = await client.get(`blobs/${digest}`, headers, signal);
    // One that does not know ranges begins anew.
    let skip = at - startOf(answer, at);
    let broken: unknown = "it ended too early";
    try {
      for await (const piece of spoken(answer, signal)) {
        const fresh = piece.subarray(Math.min(skip, piece.length));
        skip -= piece.length - fresh.length;
        if (at + fresh.length > sizeBytes) throw damaged(digest, "it has more", sizeBytes);
        await take(fresh);
        at += fresh.length;
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof Failure && thrown.code !== "unavailable") throw thrown;
      broken = thrown;
    }
    if (at >= sizeBytes) return;
    failed = at > before ? 1 : failed + 1;
    if (failed >= ATTEMPTS) {
      throw new Failure(
        "unavailable",
        `Cannot bring the blob ${digest}: after ${at} of ${sizeBytes} bytes: ${reasonOf(broken)}`,
        { cause: broken },
      );
    }
    await pause(failed, signal);
  }
}

/** Where an answer begins in the blob. @throws {Failure} `unavailable` when it is another part than was asked for. */
function startOf(answer: Response, asked: number): number {
  if (answer.status !== 206) return 0;
  const [, start] = /^bytes (\d{1,15})-/.exec(answer.headers.get("content-range") ?? "") ?? [];
  if (Number(start) === asked) return asked;
  throw new Failure("unavailable", "Cannot bring a blob: the registry sent another part of it");
}

/** An answer's pieces, as long as they come. */
async function* spoken(answer: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const body = answer.body;
  if (body === null) return;
  const reader = body.getReader();
  let timer: NodeJS.Timeout | undefined;
  try {
    for (;;) {
      const silent = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Failure("unavailable", "no byte came for a minute")),
          SILENCE_LIMIT_MS,
        );
      });
      const { value, done } = await Promise.race([reader.read(), silent]);
      clearTimeout(timer);
      if (done) return;
      signal.throwIfAborted();
      yield value;
    }
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => undefined);
  }
}

function damaged(digest: Digest, why: string, sizeBytes: number): Failure {
  return new Failure(
    "data_loss",
    `Cannot use the blob ${digest} of ${sizeBytes} bytes: ${why}; the registry is damaged, or somebody stands between`,
  );
}
