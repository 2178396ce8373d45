import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Files } from "../core/ports/files.ts";
import type { LayerMount } from "../core/ports/storage-driver.ts";

/** When what came into an overlay is first written out, and the shortest rest between two times; in milliseconds. */
const REST_MS = 12;
/**
 * The same of what is no overlay, such as a subvolume: to write out a small one early takes btrfs as long as it saves later. Small
 * layers are full before.
 */
const SLOW_REST_MS = 250;
/** Part of the time of a writing that it rests afterwards: what comes in the rest is left to the commit. */
const REST_PART = 0.5;
/** How long a layer is written out before its time: by then the kernel does so by itself. In milliseconds. */
const LIMIT_MS = 60_000;

/** A layer that is being filled. */
interface Filled {
  readonly ended: AbortController;
  /** The writing that is under way, or was last. */
  round: Promise<void>;
  failure: Failure | undefined;
}

/** Where a layer's files come to lie. */
interface Place {
  readonly directory: string;
  readonly leastRestMs: number;
}

/** What {@link LayerFilling} works with. */
interface LayerFillingParts {
  readonly files: Pick<Files, "syncFileSystem">;
  readonly clock: Clock;
}

/**
 * Writes out, beside the work, what an unpacker puts into layers that it is going to commit: the sync of the commit then finds
 * little left to wait for.
 *
 * 1. It rests at least half as long as it writes, so that others have the disk too. It is for unpackers alone, never for containers.
 * 2. Linux tells of a failed write only once: a layer that was being filled when one failed is not committed.
 */
export class LayerFilling {
  readonly #parts: LayerFillingParts;
  readonly #filled = new Map<LayerId, Filled>();
  /** Aborts when nothing more is to be written out; undefined: nothing yet. */
  #stop: AbortSignal | undefined;

  constructor(parts: LayerFillingParts) {
    this.#parts = parts;
  }

  /** Writes out until the signal aborts. */
  open(signal: AbortSignal): void {
    this.#stop = signal;
  }

  /** From now on the layer is being filled. @param mounts How its unpacker was told to mount it. */
  begin(layer: LayerId, mounts: readonly LayerMount[]): void {
    const [place, stop] = [placeOf(mounts), this.#stop];
    if (place === undefined || stop === undefined || this.#filled.has(layer)) return;
    const filled: Filled = {
      ended: new AbortController(),
      round: Promise.resolve(),
      failure: undefined,
    };
    this.#filled.set(layer, filled);
    const signal = AbortSignal.any([stop, filled.ended.signal]);
    void this.#write(place, filled, signal).catch(() => undefined);
  }

  /**
   * The layer is full, and is to be committed. Resolves when nothing of it is being written out any more.
   *
   * @throws {Failure} `data_loss` and the like, each time, when something could not be written meanwhile: it can only be removed.
   */
  async end(layer: LayerId): Promise<void> {
    const filled = this.#filled.get(layer);
    if (filled === undefined) return;
    filled.ended.abort();
    // Of all: one that writes out another layer may be told of what was lost of this one.
    await Promise.all([...this.#filled.values()].map(({ round }) => round));
    if (filled.failure !== undefined) throw filled.failure;
    this.#filled.delete(layer);
  }

  /** The layer is removed. */
  forget(layer: LayerId): void {
    this.#filled.get(layer)?.ended.abort();
    this.#filled.delete(layer);
  }

  async #write(
    { directory, leastRestMs }: Place,
    filled: Filled,
    signal: AbortSignal,
  ): Promise<void> {
    const { files, clock } = this.#parts;
    const startedAt = clock.monotonic();
    let restMs = leastRestMs;
    while (clock.monotonic() - startedAt < LIMIT_MS && filled.failure === undefined) {
      await clock.sleep(restMs, signal);
      const roundAt = clock.monotonic();
      filled.round = files
        .syncFileSystem(directory)
        .catch((thrown: unknown) => this.#fail(directory, thrown));
      await filled.round;
      restMs = Math.max(leastRestMs, REST_PART * (clock.monotonic() - roundAt));
    }
  }

  /** What was not written may be of any of them. */
  #fail(directory: string, cause: unknown): void {
    const { code, message } = Failure.from(cause);
    // Removed meanwhile, or nothing was tried: no write has failed.
    if (code === "not_found" || code === "unavailable") return;
    const why = `Cannot write out what is unpacked into ${directory}: ${message}; unpack it again`;
    for (const filled of this.#filled.values()) filled.failure = new Failure(code, why, { cause });
  }
}

/** Where whoever mounts so puts what he writes; undefined: into a file system of the layer's own. */
function placeOf([mount, ...more]: readonly LayerMount[]): Place | undefined {
  if (mount === undefined || more.length > 0) return undefined;
  if (mount.type === "bind") return { directory: mount.source, leastRestMs: SLOW_REST_MS };
  const name = "upperdir=";
  const upper = mount.options.find((option) => option.startsWith(name));
  return upper === undefined
    ? undefined
    : { directory: upper.slice(name.length), leastRestMs: REST_MS };
}
