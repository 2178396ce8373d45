import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import { type ChainId, type Hold, type Holder, isChainId } from "../../core/layer/hold.ts";
import { quote } from "../../core/name.ts";
import type { LayerMount } from "../../core/ports/storage-driver.ts";
import type { LayerFilling } from "../../services/layer-filling.ts";
import type { LayerStore } from "../../services/layer-store.ts";
import { Family } from "./family.ts";
import { type Snapshot, type SnapshotData, snapshotOf } from "./snapshot.ts";
import { nowUs } from "./wall-clock.ts";

/** Label by which containerd asks whether there is a layer already, instead of bringing its content. */
const REF_LABEL = "containerd.io/snapshot.ref";

/** What a new snapshot is to be. */
export interface NewSnapshot {
  readonly key: string;
  /** Key of the parent; empty: none. */
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * containerd's snapshots, as its package `snapshots` defines them (1.6 to 2.x), on the layer store.
 *
 * 1. Keys of active snapshots and names of committed ones are one space.
 * 2. A snapshot that is another's parent stays; parents are named by key, and the same layer can have several.
 * 3. Nothing shows here that did not come by this door: what containerd does not know, its collector removes.
 */
export class Snapshotter {
  readonly #store: LayerStore;
  readonly #filling: LayerFilling;
  readonly #family: Family;

  constructor(store: LayerStore, filling: LayerFilling) {
    this.#store = store;
    this.#filling = filling;
    this.#family = new Family({
      list: () => this.list(),
      find: (key) => this.#find(key),
    });
  }

  /** @throws {Failure} `already_exists`, also when the chain that a label asks for is there. */
  async prepare(what: NewSnapshot, signal: AbortSignal): Promise<readonly LayerMount[]> {
    const ref = what.labels[REF_LABEL];
    if (ref !== undefined && isChainId(ref)) await this.#offer(ref, what, signal);
    const mounts = await this.#make("active", what, signal);
    const made = unpackedOf(what.key) && this.#store.get(holderOf(what.key));
    if (made) this.#filling.begin(made.layer, mounts);
    return mounts;
  }

  view(what: NewSnapshot, signal: AbortSignal): Promise<readonly LayerMount[]> {
    return this.#make("view", what, signal);
  }

  /** @throws {Failure} `not_found`, `failed_precondition` for a committed one. */
  async mounts(key: string, signal: AbortSignal): Promise<readonly LayerMount[]> {
    const { kind } = this.stat(key);
    if (kind === "committed") {
      throw new Failure(
        "failed_precondition",
        `Cannot mount snapshot ${quote(key)}: it is committed; make a view of it`,
      );
    }
    return this.#store.mounts(holderOf(key), { readOnly: kind === "view", shared: true }, signal);
  }

  /** @throws {Failure} `not_found`, `failed_precondition` when it is not active, `already_exists` for the name. */
  async commit(
    { key, name, labels, parent }: NewSnapshot & { readonly name: string },
    signal: AbortSignal,
  ): Promise<void> {
    const active = this.stat(key);
    if (parent !== "" && parent !== active.parent) {
      throw new Failure(
        "unimplemented",
        `Cannot commit snapshot ${quote(key)} onto ${quote(parent)}: it was not prepared on it`,
      );
    }
    if (active.kind !== "active") {
      throw new Failure(
        "failed_precondition",
        `Cannot commit snapshot ${quote(key)}: it is ${active.kind}, not active`,
      );
    }
    const chainId = chainOf(key, name);
    await this.#filling.end(this.#get(key).layer);
    const data = newData(active.parent, labels);
    await this.#family.adding(name, active.parent, async () => {
      const options = { data, ...(chainId !== undefined && { chainId }) };
      await this.#store.commit(holderOf(key), holderOf(name), options, signal);
    });
    this.#family.gone(key, active.parent);
  }

  /** @throws {Failure} `not_found`, `failed_precondition` when it is a parent. */
  async remove(key: string): Promise<void> {
    const { parent } = this.stat(key);
    const { layer } = this.#get(key);
    // The collector removes again whatever it finds listed and does not know.
    const how = { durable: "soon" } as const;
    await this.#family.removing(key, () => this.#store.release(holderOf(key), how));
    this.#family.gone(key, parent);
    this.#filling.forget(layer);
  }

  /** @throws {Failure} `not_found`. */
  stat(key: string): Snapshot {
    return snapshotOf(this.#get(key));
  }

  /** @throws {Failure} `not_found`. */
  async update(
    key: string,
    labelsOf: (labels: SnapshotData["labels"]) => SnapshotData["labels"],
  ): Promise<Snapshot> {
    const { parent, labels, createdUs, view } = this.stat(key);
    const data = {
      parent,
      labels: labelsOf(labels),
      createdUs,
      updatedUs: nowUs(),
      ...(view && { view }),
    };
    return snapshotOf(await this.#store.update(holderOf(key), data));
  }

  *list(): Iterable<Snapshot> {
    for (const hold of this.#store.list("containerd")) yield snapshotOf(hold);
  }

  /** Bytes and inodes of the snapshot without its parents. @throws {Failure} `not_found`. */
  async usage(
    key: string,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number; readonly inodes: number }> {
    this.#get(key);
    const { referencedBytes, inodes = 0 } = await this.#store.usage(holderOf(key), signal);
    return { sizeBytes: referencedBytes, inodes };
  }

  /** What was removed gives its room back soon, however much else there is to do. */
  cleanup(): void {
    this.#store.hurry();
  }

  async #make(
    kind: "active" | "view",
    { key, parent, labels }: NewSnapshot,
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    const holder = holderOf(key);
    const data = newData(parent, labels);
    await this.#family.adding(key, parent, async () => {
      const below = parent === "" ? null : this.#parent(key, parent);
      if (kind === "view" && below !== null) {
        await this.#store.view(holder, { parent: below, data }, signal);
        return;
      }
      // A view of nothing is an empty layer that nobody is let write to.
      const own = kind === "view" ? { ...data, view: true } : data;
      await this.#store.prepare(holder, { parent: below, data: own }, signal);
    });
    return this.mounts(key, signal);
  }

  /**
   * The remote protocol: when there is a layer of this chain on this parent, containerd takes it instead of bringing its
   * content. It finds it by the label among the committed ones.
   *
   * @throws {Failure} `already_exists` when there is.
   */
  async #offer(ref: ChainId, { parent, labels }: NewSnapshot, signal: AbortSignal): Promise<void> {
    const below = parent === "" ? null : this.#store.get(holderOf(parent));
    if (below === undefined) return;
    const layer = await this.#store.byChain(ref, signal, below?.pool);
    if (layer === undefined || layer.parent !== (below?.layer ?? null)) return;
    const offered = `${ref} on ${parent}`;
    const there = new Failure("already_exists", `Snapshot ${quote(ref)} exists already`);
    for (const holder of this.#store.holdersOf(layer.id)) {
      const hold = holder.face === "containerd" ? this.#store.get(holder) : undefined;
      const known = hold && snapshotOf(hold);
      if (known?.parent === parent && known.labels[REF_LABEL] === ref) throw there;
    }
    await this.#family.adding(offered, parent, async () => {
      const data = newData(parent, labels);
      await this.#store.hold(holderOf(offered), layer.id, { data });
    });
    throw there;
  }

  #parent(key: string, parent: string): LayerId {
    const attempt = `Cannot make snapshot ${quote(key)}`;
    const found = this.#store.get(holderOf(parent));
    if (found === undefined) {
      throw new Failure("not_found", `${attempt}: its parent ${quote(parent)} does not exist`);
    }
    if (found.kind === "committed") return found.layer;
    throw new Failure(
      "invalid_argument",
      `${attempt}: its parent ${quote(parent)} is ${found.kind}, not committed`,
    );
  }

  #find(key: string): Snapshot | undefined {
    const found = this.#store.get(holderOf(key));
    return found && snapshotOf(found);
  }

  #get(key: string): Hold {
    const found = this.#store.get(holderOf(key));
    if (found !== undefined) return found;
    throw new Failure("not_found", `Cannot find snapshot ${quote(key)}: it does not exist`);
  }
}

function holderOf(key: string): Holder {
  return { face: "containerd", key };
}

function newData(parent: string, labels: SnapshotData["labels"]): SnapshotData {
  const now = nowUs();
  return { parent, labels, createdUs: now, updatedUs: now };
}

/**
 * The identity of what is committed, where the committer surely is an unpacker of images: it unpacks under a key
 * `…/extract-… CHAIN`, and commits that under the name `…/CHAIN`.
 */
function chainOf(key: string, name: string): ChainId | undefined {
  const chainId = name.slice(name.lastIndexOf("/") + 1);
  return unpackedOf(key) === chainId && isChainId(chainId) ? chainId : undefined;
}

/** The chain that an unpacker is unpacking under this key; undefined: somebody else's key. */
function unpackedOf(key: string): string | undefined {
  return /(?:^|\/)extract-\S+ (\S+)$/.exec(key)?.[1];
}
