import { setTimeout } from "node:timers/promises";
import type { RestClient } from "../api/rest/client.ts";
import { formatBytes } from "../core/size.ts";
import { formatDuration } from "./age.ts";

/** How often a line on a terminal is drawn anew, in milliseconds. */
const REDRAW_MS = 200;
/** How often a line is written elsewhere, in milliseconds. */
const LINE_MS = 10_000;

/** Where progress is told. */
interface Teller {
  err(text: string): void;
  now(): number;
  readonly terminal: { readonly progress: boolean };
}

/**
 * The same pieces, telling on standard error how many bytes went by, how fast, and, when the end is known, how long it
 * will take: one line that is drawn anew on a terminal, a line now and then elsewhere.
 */
export async function* withProgress(
  context: Teller,
  pieces: AsyncIterable<Uint8Array>,
  totalBytes: number | null,
): AsyncGenerator<Uint8Array> {
  const from = context.now();
  const live = context.terminal.progress;
  let toldAt = from;
  let bytes = 0;
  const tell = (now: number): void => {
    toldAt = now;
    const text = formatProgress(bytes, totalBytes, now - from);
    context.err(live ? `\r\x1b[K${text}` : `${text}\n`);
  };
  try {
    for await (const piece of pieces) {
      yield piece;
      bytes += piece.byteLength;
      const now = context.now();
      if (now - toldAt >= (live ? REDRAW_MS : LINE_MS)) tell(now);
    }
  } finally {
    if (live && toldAt !== from) context.err("\r\x1b[K");
  }
}

/** The outcome of `work`, telling meanwhile how far a file was read for it, as {@link withProgress} does. */
export async function whileMoving<T>(
  context: Teller,
  file: { readonly position: () => number; readonly totalBytes: number | null },
  work: Promise<T>,
): Promise<T> {
  const from = context.now();
  const begin = file.position();
  const live = context.terminal.progress;
  let told = false;
  const tell = (): void => {
    const text = formatProgress(file.position() - begin, file.totalBytes, context.now() - from);
    context.err(live ? `\r\x1b[K${text}` : `${text}\n`);
    told = true;
  };
  const timer = setInterval(tell, live ? REDRAW_MS : LINE_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (live && told) context.err("\r\x1b[K");
  }
}

/** How long work is waited for before anything is told of it, in milliseconds. */
const PATIENCE_MS = 1_000;

/**
 * The outcome of `work`, telling on standard error meanwhile how far the operation on `target` is that copies for it;
 * nothing of what is done at once, or copies nothing.
 */
export async function whileCopying<T>(
  context: Teller & { client(): Promise<RestClient> },
  target: string,
  work: Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const ended = work.finally(() => over.abort());
  // The outcome is the caller's; here it only ends the telling.
  ended.catch(() => undefined);
  await tellCopying(context, target, over.signal).catch(() => undefined);
  return ended;
}

async function tellCopying(
  context: Teller & { client(): Promise<RestClient> },
  target: string,
  over: AbortSignal,
): Promise<void> {
  const from = context.now();
  const live = context.terminal.progress;
  let told = false;
  try {
    for (let waitMs = PATIENCE_MS; ; waitMs = live ? PATIENCE_MS : LINE_MS) {
      await setTimeout(waitMs, undefined, { signal: over });
      const operations = await (await context.client()).listOperations();
      const copying = operations.find((each) => each.target === target && each.doneBytes !== null);
      if (copying === undefined || over.aborted) continue;
      const { id, doneBytes, totalBytes } = copying;
      const text = `${formatProgress(doneBytes ?? 0, totalBytes, context.now() - from)}; to stop: lagan operation cancel ${id}`;
      context.err(live ? `\r\x1b[K${text}` : `${text}\n`);
      told = true;
    }
  } finally {
    if (live && told) context.err("\r\x1b[K");
  }
}

function formatProgress(bytes: number, totalBytes: number | null, elapsedMs: number): string {
  const rate = bytes / Math.max(elapsedMs / 1000, 0.001);
  const speed = `${formatBytes(Math.round(rate))}/s`;
  if (totalBytes === null || totalBytes <= bytes) return `${formatBytes(bytes)}, ${speed}`;
  const leftMs = ((totalBytes - bytes) / Math.max(rate, 1)) * 1000;
  return `${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${speed}, ${formatDuration(leftMs)} left`;
}
