import { setImmediate } from "node:timers/promises";
import { Failure } from "../core/failure.ts";
import {
  LAYER_ENTRIES_LIMIT,
  type LayerApplied,
  type LayerChange,
  type LayerTar,
  type LayerTarLimits,
} from "../core/ports/layer-tar.ts";
import type { LayerOutcome } from "./layer-outcome.ts";
import { LoopEnd, makePipeMemory, type PipeMemory } from "./shared-pipe.ts";
import { SyscallThreads } from "./syscall-threads.ts";

/** Most layers that are applied at once, and most that are read; more wait. */
const LAYER_LIMIT = 4;
/** The names of a large layer are kept in mind: {@link LAYER_NAMES_LIMIT_BYTES}. */
const HEAP_MB = 768;
const IDLE_MS = 30_000;

/** Threads of their own, and apart: one layer may be read for another to be applied. */
const handling = { limit: LAYER_LIMIT, depth: 1, idleMs: IDLE_MS, heapMb: HEAP_MB };
const applying = new SyscallThreads(handling);
const reading = new SyscallThreads(handling);

/** Layers on this machine's file systems. */
export const hostLayerTar: LayerTar = { apply, diff, changes };

async function apply(
  root: string,
  tar: AsyncIterable<Uint8Array>,
  limits: LayerTarLimits,
  signal: AbortSignal,
): Promise<LayerApplied> {
  signal.throwIfAborted();
  const memory = makePipeMemory();
  const pipe = new LoopEnd(memory);
  const { tarBytes, entries = LAYER_ENTRIES_LIMIT } = limits;
  const outcome = applying.call("applyLayer", root, memory, { tarBytes, entries });
  const over = Promise.withResolvers<undefined>();
  const stop = (): void => {
    pipe.close();
    over.resolve(undefined);
  };
  outcome.then(stop, stop);
  signal.addEventListener("abort", stop, { once: true });
  try {
    await feed(pipe, tar, over.promise);
    pipe.end();
    const applied = await outcome;
    signal.throwIfAborted();
    return resultOf(applied);
  } finally {
    signal.removeEventListener("abort", stop);
    pipe.close();
    await outcome.catch(() => undefined);
  }
}

/** Writes the stream until it ends, or nobody wants more of it. */
async function feed(
  pipe: LoopEnd,
  tar: AsyncIterable<Uint8Array>,
  over: Promise<undefined>,
): Promise<void> {
  const iterator = tar[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), over]);
      if (next === undefined) return;
      ended = next.done === true;
      if (next.done === true || !(await pipe.write(next.value))) return;
      // A stream that always has more at hand would leave the event loop no time.
      await setImmediate();
    }
  } finally {
    // Not awaited: one that waits for its own source only stops after that.
    if (!ended) iterator.return?.().catch(() => undefined);
  }
}

/** `LayerTar.diff`. */
function diff(
  root: string,
  parent: string | null,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  return readFrom((memory) => reading.call("packLayer", root, parent, memory), signal);
}

async function* changes(
  root: string,
  parent: string | null,
  signal: AbortSignal,
): AsyncGenerator<LayerChange, void, undefined> {
  const pieces = readFrom((memory) => reading.call("listLayer", root, parent, memory), signal);
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [kind, path]: [LayerChange["kind"], string] = JSON.parse(line);
      yield { path, kind };
    }
  }
}

/** What a thread writes, until it ends. */
async function* readFrom(
  start: (memory: PipeMemory) => Promise<LayerOutcome<undefined>>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal.throwIfAborted();
  const memory = makePipeMemory();
  const pipe = new LoopEnd(memory);
  const outcome = start(memory);
  const stop = (): void => pipe.close();
  outcome.catch(stop);
  signal.addEventListener("abort", stop, { once: true });
  try {
    yield* pipe.read();
    const ended = await outcome;
    signal.throwIfAborted();
    resultOf(ended);
  } finally {
    signal.removeEventListener("abort", stop);
    pipe.close();
    await outcome.catch(() => undefined);
  }
}

function resultOf<T>(outcome: LayerOutcome<T>): T {
  if ("value" in outcome) return outcome.value;
  if ("failure" in outcome) throw new Failure(outcome.failure.code, outcome.failure.message);
  throw new Failure("internal", "Internal error", { cause: "a layer's pipe was closed early" });
}
