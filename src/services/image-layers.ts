import { Failure } from "../core/failure.ts";
import { type LayerId, newId, type OperationId } from "../core/id.ts";
import { type ChainId, chainIdsOf } from "../core/image/chain-id.ts";
import type { Digest } from "../core/image/digest.ts";
import type { ImageLayer } from "../core/image/image.ts";
import { type Hold, type Holder, parseChainId } from "../core/layer/hold.ts";
import type { PoolName } from "../core/name.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Hash } from "../core/ports/hash.ts";
import type { ForeignImage } from "../core/ports/image-source.ts";
import type { LayerTar } from "../core/ports/layer-tar.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { ImageRecords } from "./image-records.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { LayerStore } from "./layer-store.ts";

/** Most bytes of one layer's plain tar: 4 TiB. What a pool cannot hold fails before. */
const TAR_LIMIT_BYTES = 4 * 1024 ** 4;
/** Beginning of the key of a layer that is being made. */
const MAKING = "making/";

/** What {@link ImageLayers} works with. */
interface ImageLayersParts {
  readonly records: ImageRecords;
  readonly layerStore: LayerStore;
  readonly layerTar: LayerTar;
  readonly hash: Hash;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What is kept with a layer's hold. */
interface HoldData {
  readonly diffId: Digest;
  readonly sizeBytes: number;
}

/** The layers of an image, as long as they are needed to make its record. */
export interface PinnedLayers {
  readonly pool: PoolName;
  readonly layers: readonly ImageLayer[];
}

/**
 * The layers of images in the layer store: one hold for each chain, whichever images have it.
 *
 * 1. The hold of a layer is there before the record of an image that has it, and goes after the last of these.
 * 2. A layer that is being made is held under another key, so nobody takes it for whole.
 */
export class ImageLayers {
  readonly #parts: ImageLayersParts;
  /** Keys of holds that work under way needs, and how often. */
  readonly #pins = new Map<string, number>();

  constructor(parts: ImageLayersParts) {
    this.#parts = parts;
  }

  /**
   * Brings the layers of an image that are not here, and does `work` while all of them stay. What the image's record does
   * not hold afterwards goes again.
   *
   * @param expect Hears how many bytes are to come.
   */
  async bring<T>(
    image: ForeignImage,
    expect: (bytes: number) => void,
    work: (layers: PinnedLayers) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const chain = chainIdsOf(image.diffIds, this.#parts.hash.sha256);
    if (chain.length === 0) {
      throw new Failure("unimplemented", "Cannot import the image: it has no layer");
    }
    const holds: Hold[] = [];
    const pinned: string[] = [];
    const pin = (chainId: ChainId): void => {
      this.#pin(chainId, 1);
      pinned.push(chainId);
    };
    try {
      for (const chainId of chain) {
        pin(chainId);
        const hold = await this.#find(chainId, image.diffIds[holds.length] as Digest, signal);
        if (hold === undefined) break;
        holds.push(hold);
      }
      const missing = chain.map((_, place) => place).slice(holds.length);
      expect(image.want(missing));
      for (const place of missing) {
        const chainId = chain[place] as ChainId;
        if (!pinned.includes(chainId)) pin(chainId);
        const parent = holds.at(-1)?.layer ?? null;
        holds.push(await this.#make(image, place, chainId, parent, signal));
      }
      const layers = holds.map(({ data }, place) => {
        return { chainId: chain[place] as ChainId, ...(data as HoldData) };
      });
      return await work({ pool: (holds.at(-1) as Hold).pool, layers });
    } finally {
      for (const chainId of pinned) this.#pin(chainId, -1);
      await this.release(pinned);
    }
  }

  /** Lets go of those of these chains that no image has. Failures are logged: a restart tries again. */
  async release(chainIds: readonly string[]): Promise<void> {
    try {
      for (const chainId of new Set(chainIds)) await this.#releaseUnused(chainId);
    } catch (error) {
      this.#parts.log.warn("layers of an image are not let go yet", { error });
    }
  }

  /** Lets go of all that no image has: what a crash left. Only while nothing is under way. */
  async sweep(): Promise<void> {
    const { layerStore, records } = this.#parts;
    const images = await records.list();
    const used = new Set<string>(images.flatMap((image) => image.layers.map((one) => one.chainId)));
    for (const { holder } of [...layerStore.list("image")]) {
      if (!used.has(holder.key)) await layerStore.release(holder);
    }
  }

  /** The layer of a chain. @throws {Failure} `data_loss` when it is gone. */
  get(chainId: ChainId): Hold {
    const hold = this.#parts.layerStore.get(holderOf(chainId));
    if (hold !== undefined) return hold;
    throw new Failure("data_loss", `Cannot use layer ${chainId}: it is not here any more`);
  }

  /** Does `work` while the layers of these chains stay. */
  async keeping<T>(chainIds: readonly ChainId[], work: () => Promise<T>): Promise<T> {
    for (const chainId of chainIds) this.#pin(chainId, 1);
    try {
      return await work();
    } finally {
      for (const chainId of chainIds) this.#pin(chainId, -1);
      await this.release(chainIds);
    }
  }

  /** The hold of a layer that is here, made when only others held it. */
  #find(chainId: ChainId, diffId: Digest, signal: AbortSignal): Promise<Hold | undefined> {
    const { layerStore } = this.#parts;
    const holder = holderOf(chainId);
    return this.#locked(chainId, async () => {
      const held = layerStore.get(holder);
      if (held !== undefined) return held;
      const kept = await layerStore.byChain(parseChainId(chainId), signal);
      if (kept === undefined) return undefined;
      await layerStore.hold(holder, kept.id, { data: { diffId, sizeBytes: 0 } });
      const { referencedBytes } = await layerStore.usage(holder, signal);
      return layerStore.update(holder, { diffId, sizeBytes: referencedBytes });
    });
  }

  async #make(
    image: ForeignImage,
    place: number,
    chainId: ChainId,
    parent: LayerId | null,
    signal: AbortSignal,
  ): Promise<Hold> {
    const diffId = image.diffIds[place] as Digest;
    const there = await this.#find(chainId, diffId, signal);
    if (there !== undefined) return there;
    const { layerStore, layerTar, clock, random } = this.#parts;
    const active: Holder = {
      face: "image",
      key: `${MAKING}${newId<OperationId>(clock, random)}`,
    };
    await layerStore.prepare(active, { parent, data: null }, signal);
    try {
      const limits = { tarBytes: TAR_LIMIT_BYTES };
      const { sizeBytes } = await layerStore.withPath(
        active,
        { readOnly: false },
        (path) =>
          toItsEnd(image.layer(place, signal), (tar) => layerTar.apply(path, tar, limits, signal)),
        signal,
      );
      return await this.#locked(chainId, async () => {
        // Another import may have been faster: its layer is as good.
        const other = layerStore.get(holderOf(chainId));
        if (other !== undefined) return other;
        const options = { chainId: parseChainId(chainId), data: { diffId, sizeBytes } };
        return layerStore.commit(active, holderOf(chainId), options, signal);
      });
    } finally {
      await layerStore.release(active);
    }
  }

  #releaseUnused(chainId: string): Promise<void> {
    return this.#locked(chainId, async () => {
      if (this.#pins.has(chainId)) return;
      const images = await this.#parts.records.list();
      if (images.some(({ layers }) => layers.some((layer) => layer.chainId === chainId))) return;
      await this.#parts.layerStore.release(holderOf(chainId as ChainId));
    });
  }

  #locked<T>(chainId: string, work: () => Promise<T>): Promise<T> {
    return this.#parts.queue.run(`image-layers/${chainId}`, work);
  }

  #pin(chainId: string, times: 1 | -1): void {
    const left = (this.#pins.get(chainId) ?? 0) + times;
    if (left > 0) this.#pins.set(chainId, left);
    else this.#pins.delete(chainId);
  }
}

/** Reads the rest after `work`: only at its end a layer is known to be what its digest says. */
async function toItsEnd<T>(
  tar: AsyncIterable<Uint8Array>,
  work: (tar: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const pieces = tar[Symbol.asyncIterator]();
  try {
    const done = await work({ [Symbol.asyncIterator]: () => ({ next: () => pieces.next() }) });
    while ((await pieces.next()).done !== true);
    return done;
  } finally {
    await pieces.return?.();
  }
}

function holderOf(chainId: ChainId): Holder {
  return { face: "image", key: chainId };
}
