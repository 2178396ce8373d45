import { Failure } from "../core/failure.ts";
import { type ChainId, type Hold, type Holder, parseChainId } from "../core/layer/hold.ts";
import type { RunningDigest } from "../core/ports/digest.ts";
import type { LayerTar } from "../core/ports/layer-tar.ts";
import type { Log } from "../core/ports/log.ts";
import type { Store } from "../core/ports/store.ts";
import type { TreeChange, TreeDiff } from "../core/ports/tree-diff.ts";
import type { GraphMounts } from "./graph-mounts.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { LayerStore } from "./layer-store.ts";
import type { Pools } from "./pools.ts";
import { TappedStream } from "./tapped-stream.ts";

declare const brand: unique symbol;

/** A layer's name at an engine: chosen by the engine, plain enough for a directory. */
export type GraphId = string & { readonly [brand]: "GraphId" };

/** One path that a layer has changed, relative to its root. */
export interface GraphChange {
  readonly path: string;
  readonly kind: "added" | "modified" | "removed";
}

/** What is asked for with a new layer. */
export interface GraphLayer {
  readonly parent: GraphId | null;
  readonly sizeBytes: number | null;
}

/** What is kept with a layer of an engine. */
interface LayerData {
  /** Of what it stands on. */
  readonly below: ChainId | null;
}

/** What {@link Graph} works with. */
interface GraphParts {
  readonly layers: LayerStore;
  readonly tar: LayerTar;
  readonly mounts: GraphMounts;
  readonly queue: KeyedQueue;
  readonly sha256: () => RunningDigest;
  /** Records that survive a restart of the daemon but not of the machine. */
  readonly runtime: Store;
  readonly pools: Pools;
  readonly treeDiff: TreeDiff;
  readonly log: Log;
}

/**
 * Layers as Docker's graph drivers have them: named by the engine, written between `get` and `put` or by one `apply`,
 * and read by others that stand on them.
 *
 * 1. Calls for one id are done in the order in which they came; a stream that is read from a layer holds up none.
 * 2. A layer is writable until it is applied to or until another stands on it. From then on it never changes, so equal
 *    layers, known by the digests of their streams (OCI image spec: chain ID), are stored once.
 * 3. A stream that was broken off is never taken for a layer, though the engine sends the rest of it again: a layer takes
 *    one stream, and only from the process that made it.
 * 4. A layer whose maker was never told that it is there is taken back at the next start: an engine that gets no answer gives
 *    its name up, and asks for another.
 */
export class Graph {
  readonly #parts: GraphParts;
  /** Layers that take a stream: made by this process and touched by nobody. */
  readonly #fresh = new Set<GraphId>();
  /** Where the engines that have come keep their books. */
  readonly #homes = new Set<string>();

  constructor(parts: GraphParts) {
    this.#parts = parts;
  }

  /** Takes back what was being made when the daemon ended. Before it resolves no engine may ask. */
  async open(): Promise<void> {
    const { layers, runtime } = this.#parts;
    for (const { key } of (await runtime.list(MAKING)).entries) {
      await layers.release(active(key.slice(MAKING.length) as GraphId));
      await runtime.txn([], [{ do: "delete", key }]);
    }
  }

  /** An engine starts: whatever it had mounted before is known from the mount table alone. */
  init(home: string): void {
    this.#homes.add(home);
    // Of several engines nobody can tell which one has crashed.
    if (this.#homes.size === 1) this.#parts.mounts.forget();
  }

  /**
   * A new writable layer. Exists already: `already_exists`.
   *
   * @throws {Failure} `not_found` for a parent that is not there; what {@link LayerStore.prepare} throws.
   */
  create(id: GraphId, { parent, sizeBytes }: GraphLayer, signal: AbortSignal): Promise<void> {
    return this.#inTurn(id, async () => {
      const below = parent === null ? null : await this.#seal(parent, signal);
      const { layers } = this.#parts;
      if (this.#find(id) !== undefined) {
        throw new Failure("already_exists", `Cannot make layer ${id}: it exists`);
      }
      const data = { below: below?.chainId ?? null };
      await this.#noting(id, () =>
        layers.prepare(active(id), { parent: below?.layer ?? null, sizeBytes, data }, signal),
      );
      this.#fresh.add(id);
    });
  }

  /** Absent is success. @throws {Failure} `failed_precondition` while a process of the host has it open. */
  remove(id: GraphId): Promise<void> {
    return this.#inTurn(id, async () => {
      this.#fresh.delete(id);
      await this.#parts.mounts.drop(id);
      const hold = this.#find(id);
      if (hold !== undefined) await this.#parts.layers.release(hold.holder);
    });
  }

  /** The layer's directory, mounted for one more user. @throws {Failure} `not_found`. */
  get(id: GraphId, signal: AbortSignal): Promise<string> {
    return this.#inTurn(id, async () => {
      const { holder, kind } = this.#get(id);
      this.#fresh.delete(id);
      return this.#parts.mounts.acquire(id, () =>
        this.#parts.layers.mounts(holder, { readOnly: kind !== "active" }, signal),
      );
    });
  }

  /** One user less. Not mounted is success: the engine may have crashed in between, or we. */
  put(id: GraphId): Promise<void> {
    return this.#inTurn(id, () => this.#parts.mounts.release(id));
  }

  /** True when there is such a layer. */
  exists(id: GraphId): boolean {
    return this.#find(id) !== undefined;
  }

  /** What people may want to know of a layer. @throws {Failure} `not_found`. */
  metadata(id: GraphId): Readonly<Record<string, string>> {
    const { layer, pool, kind, chainId } = this.#get(id);
    return { layer, pool, kind, ...(chainId === null ? {} : { chainId }) };
  }

  /** The engine stops, in order: what it has left mounted goes. */
  async cleanup(): Promise<void> {
    const { mounts, log } = this.#parts;
    for (const id of await mounts.list()) {
      // Another engine's containers go on.
      if (this.#homes.size > 1 && mounts.usesOf(id) > 0) continue;
      await this.#inTurn(id as GraphId, () => mounts.drop(id)).catch((error: unknown) => {
        log.warn("layer stays mounted", { id, error });
      });
    }
  }

  /**
   * Fills a new layer from an uncompressed OCI layer, after which it never changes. Answers the bytes of its files.
   *
   * @throws {Failure} `failed_precondition` for a layer that has had a stream, or has been used; what
   * {@link LayerTar.apply} throws.
   */
  apply(
    id: GraphId,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number }> {
    return this.#inTurn(id, async () => {
      const { layers, mounts, sha256 } = this.#parts;
      const hold = this.#get(id);
      if (hold.kind !== "active" || !this.#fresh.delete(id)) throw notFresh(id);
      const root = await mounts.acquire(id, () =>
        layers.mounts(hold.holder, { readOnly: false }, signal),
      );
      const digest = sha256();
      let sizeBytes: number;
      try {
        const stream = new TappedStream(tar, (bytes) => digest.update(bytes));
        ({ sizeBytes } = await this.#parts.tar.apply(root, stream, { tarBytes: null }, signal));
        await stream.drain();
      } finally {
        await mounts.drop(id);
      }
      const chainId = this.#chainOf(hold, `sha256:${digest.hex()}`);
      const chain = chainId === undefined ? {} : { chainId };
      await layers.commit(hold.holder, committed(id), { ...chain, data: hold.data }, signal);
      return { sizeBytes };
    });
  }

  /** The OCI layer that makes `id` out of `parent`. To stop early, leave the loop. */
  async *diff(
    id: GraphId,
    parent: GraphId | null,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { tar } = this.#parts;
    yield* this.#reading(id, parent, (root, below) => tar.diff(root, below, signal), signal);
  }

  /** What `id` has changed of `parent`. To stop early, leave the loop. */
  async *changes(
    id: GraphId,
    parent: GraphId | null,
    signal: AbortSignal,
  ): AsyncGenerator<GraphChange> {
    const { tar } = this.#parts;
    yield* this.#reading(id, parent, (root, below) => tar.changes(root, below, signal), signal);
  }

  /** Bytes of the files that `id` has made or written, all of each. */
  async diffSize(id: GraphId, parent: GraphId | null, signal: AbortSignal): Promise<number> {
    const { treeDiff, tar } = this.#parts;
    let sizeBytes = 0;
    // What stands on nothing is small or never asked for.
    const compare = (root: string, below: string | null) =>
      below === null ? tar.diff(root, null, signal) : treeDiff.compare(below, root, signal);
    for await (const one of this.#reading<TreeChange | Uint8Array>(id, parent, compare, signal)) {
      if (one instanceof Uint8Array) sizeBytes += one.length;
      else if (one.kind !== "removed" && one.type === "file") sizeBytes += one.bytesAfter;
    }
    return sizeBytes;
  }

  /** What people see of the driver in `docker info`: names and values, in order. */
  async status(signal: AbortSignal): Promise<readonly (readonly [string, string])[]> {
    const { layers, pools } = this.#parts;
    const { record, driver } = pools.describe(await layers.homePool(signal));
    const facts = Object.entries(driver.facts()).map(([name, value]) => [name, String(value)]);
    return [["Pool", record.name], ["Driver", record.driver], ...(facts as [string, string][])];
  }

  /** Reads from two layers that stay mounted until the reader is done, and no longer. */
  async *#reading<T>(
    id: GraphId,
    parent: GraphId | null,
    read: (root: string, below: string | null) => AsyncIterable<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    const root = await this.get(id, signal);
    try {
      const below = parent === null ? null : await this.get(parent, signal);
      try {
        yield* read(root, below);
      } finally {
        if (parent !== null) await this.put(parent);
      }
    } finally {
      await this.put(id);
    }
  }

  /** The layer others are to stand on: it never changes from now on. */
  #seal(id: GraphId, signal: AbortSignal): Promise<Hold> {
    return this.#inTurn(id, async () => {
      const hold = this.#get(id);
      if (hold.kind === "committed") return hold;
      const { mounts, layers } = this.#parts;
      if (mounts.usesOf(id) > 0) {
        throw new Failure(
          "failed_precondition",
          `Cannot make a layer on ${id}: that one is mounted for writing; unmount it first`,
        );
      }
      this.#fresh.delete(id);
      await mounts.drop(id);
      return layers.commit(hold.holder, committed(id), { data: hold.data }, signal);
    });
  }

  /** Does `work`, which makes a layer, so that the next process knows of it if this one ends meanwhile. */
  async #noting(id: GraphId, work: () => Promise<unknown>): Promise<void> {
    const { runtime } = this.#parts;
    await runtime.txn([], [{ do: "put", key: MAKING + id, value: "" }]);
    try {
      await work();
    } finally {
      await runtime.txn([], [{ do: "delete", key: MAKING + id }]);
    }
  }

  /** Undefined for a layer on one that was written by hand, or by a stream that nobody saw. */
  #chainOf({ parent, data }: Hold, diffId: string): ChainId | undefined {
    if (parent === null) return parseChainId(diffId);
    const { below } = data as LayerData;
    if (below === null) return undefined;
    const digest = this.#parts.sha256();
    digest.update(`${below} ${diffId}`);
    return parseChainId(`sha256:${digest.hex()}`);
  }

  #find(id: GraphId): Hold | undefined {
    const { layers } = this.#parts;
    return layers.get(committed(id)) ?? layers.get(active(id));
  }

  #get(id: GraphId): Hold {
    const hold = this.#find(id);
    if (hold !== undefined) return hold;
    throw new Failure("not_found", `Cannot find layer ${id}: there is none of this id`);
  }

  #inTurn<T>(id: GraphId, work: () => Promise<T>): Promise<T> {
    return this.#parts.queue.run(`graph/${id}`, work);
  }
}

/** Keys of what is being made, in the runtime store. */
const MAKING = "graph/making/";

/** Who holds a layer that never changes any more. */
function committed(id: GraphId): Holder {
  return { face: "docker", key: id };
}

/** Who holds one that is written. No id has a slash. */
function active(id: GraphId): Holder {
  return { face: "docker", key: `${id}/active` };
}

function notFresh(id: GraphId): Failure {
  return new Failure(
    "failed_precondition",
    `Cannot fill layer ${id}: it was used before, or a stream into it was broken off; remove it and send the whole into a new one`,
  );
}
