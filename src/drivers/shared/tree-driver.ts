import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { Files } from "../../core/ports/files.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerInfo,
  LayerMount,
  LayerUsage,
  NewLayer,
  PoolHealth,
  PoolSpace,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import { CONTENT_DIRECTORY, type LayerRecord, NEW_RECORD } from "./layer-record.ts";
import {
  ensureActive,
  ensureCanLayer,
  ensureCanLimit,
  ensureFits,
  ensureFound,
  ensureSame,
  exists,
  hasNoLayers,
  isCommitOf,
  isInTheWay,
} from "./layer-rules.ts";
import { Shelf, type ShelvedLayer } from "./shelf.ts";
import type { Trees } from "./trees.ts";

/** A StorageDriver over any {@link Trees}: the contract's rules, once for all of them. */
export class TreeDriver implements StorageDriver {
  readonly traits: DriverTraits;
  readonly #trees: Trees;
  readonly #files: Files;
  #shelf: Shelf | undefined;
  /** Why the last `open` failed, or that there was none. */
  #closedBecause = "it is not open";
  /** Directories under `tmp` that a call is working on: an `open` meanwhile lets them be. */
  readonly #underWork = new Set<string>();
  /** Layers being made, and the parents that they need; parents being removed. */
  readonly #needed = new Map<LayerId, LayerId>();
  readonly #going = new Set<LayerId>();
  /** Layers whose note may be there, as far as this process has written it. */
  readonly #unsettled = new Set<LayerId>();
  #damaged: readonly LayerId[] = [];
  /** Why something of a removed layer was still there after the last `open`. */
  #stuck: string | undefined;

  constructor(trees: Trees, files: Files) {
    this.traits = trees.traits;
    this.#trees = trees;
    this.#files = files;
  }

  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (await this.#serves()) return;
    try {
      const shelf = new Shelf(await this.#trees.open(signal), this.#files, {
        syncNames: !this.#trees.settlesNames,
      });
      await shelf.ensureMade();
      await this.#clearLeftovers(shelf, signal);
      this.#shelf = shelf;
    } catch (thrown) {
      this.#shelf = undefined;
      this.#closedBecause =
        thrown instanceof Failure ? thrown.message : "opening it was broken off";
      throw thrown;
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#shelf = undefined;
    this.#closedBecause = "it was closed";
    await this.#trees.close(signal);
  }

  async health(signal: AbortSignal): Promise<PoolHealth> {
    signal.throwIfAborted();
    if (this.#shelf === undefined) return { state: "faulted", why: this.#closedBecause };
    const health = await this.#trees.health();
    if (health.state !== "up") return health;
    const ids = this.#damaged.join(", ");
    const damaged = `The record of these layers is damaged: ${ids}; restore them`;
    const why = ids === "" ? this.#stuck : damaged;
    return why === undefined ? health : { state: "warning", why };
  }

  facts(): DriverFacts {
    return this.#trees.facts();
  }

  async space(signal: AbortSignal): Promise<PoolSpace> {
    await this.#up(signal);
    return this.#trees.space();
  }

  async prepare(layer: LayerId, options: NewLayer, signal: AbortSignal): Promise<void> {
    const { parent, sizeBytes, owner } = options;
    const attempt = `Cannot prepare layer ${layer}`;
    const shelf = await this.#up(signal);
    ensureCanLimit(attempt, this.traits, sizeBytes);
    ensureCanLayer(attempt, this.traits, parent);
    const found = await shelf.find(layer);
    if (found !== undefined) {
      ensureSame(attempt, found.info, "active", parent);
      await this.#limit(shelf, found, sizeBytes, signal);
      await this.#settleNames();
      return;
    }
    await this.#make(
      shelf,
      layer,
      { ...NEW_RECORD, parent, sizeBytes },
      signal,
      async (content) => {
        if (parent === null) await this.#trees.create(content, owner);
        else await this.#copyParent(shelf, attempt, parent, content, { readOnly: false });
        if (sizeBytes === null) return;
        if (parent !== null) await ensureFits(attempt, this.#trees, content, sizeBytes, signal);
        await this.#trees.limit(content, sizeBytes);
      },
    );
  }

  async view(layer: LayerId, parent: LayerId, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot make view ${layer}`;
    const shelf = await this.#up(signal);
    ensureCanLayer(attempt, this.traits, parent);
    const found = await shelf.find(layer);
    if (found !== undefined) {
      ensureSame(attempt, found.info, "view", parent);
      await this.#settleNames();
      return;
    }
    await this.#make(shelf, layer, { ...NEW_RECORD, kind: "view", parent }, signal, (content) =>
      this.#copyParent(shelf, attempt, parent, content, { readOnly: true }),
    );
  }

  async commit(active: LayerId, as: LayerId, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot commit layer ${active} as ${as}`;
    const shelf = await this.#up(signal);
    const before = await shelf.find(active);
    const after = await shelf.find(as);
    if (after === undefined) {
      const { record } = ensureActive(attempt, before);
      await this.#trees.flush(shelf.content(active), signal);
      await shelf.rewriteRecord(active, { ...record, committedAs: as, committedFrom: active });
      signal.throwIfAborted();
      await this.#unsettle(shelf, as);
      signal.throwIfAborted();
      await shelf.rename(active, as);
    } else if (before !== undefined || !isCommitOf(after, active)) {
      throw exists(attempt, as);
    }
    await this.#settle(shelf, as);
  }

  async snapshot(active: LayerId, as: LayerId, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot snapshot layer ${active} as ${as}`;
    const shelf = await this.#up(signal);
    if (!this.traits.layers) throw hasNoLayers(attempt);
    const after = await shelf.find(as);
    if (after !== undefined) {
      if (!isCommitOf(after, active)) throw exists(attempt, as);
      await this.#settleNames();
      return;
    }
    const { record } = ensureActive(attempt, await shelf.find(active));
    const copy = { ...record, sizeBytes: null, committedAs: as, committedFrom: active };
    await this.#make(shelf, as, copy, signal, (content) =>
      this.#trees.copy(shelf.content(active), content, { readOnly: true }),
    );
  }

  async remove(layer: LayerId, signal: AbortSignal): Promise<void> {
    const shelf = await this.#up(signal);
    this.#going.add(layer);
    const leftover = shelf.removedOf(layer);
    this.#underWork.add(leftover);
    try {
      const child = await this.#findChild(shelf, layer);
      if (child !== undefined) {
        throw new Failure(
          "failed_precondition",
          `Cannot remove layer ${layer}: layer ${child} is made from it; remove that one first`,
          { detail: { child } },
        );
      }
      await this.#discard(leftover, signal);
      signal.throwIfAborted();
      await shelf.withdraw(layer);
      await this.#discard(leftover, signal);
    } finally {
      this.#underWork.delete(leftover);
      this.#going.delete(layer);
    }
  }

  async mounts(
    layer: LayerId,
    options: { readonly readOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    const attempt = `Cannot mount layer ${layer}`;
    const shelf = await this.#up(signal);
    const { info } = ensureFound(attempt, await shelf.find(layer));
    if (info.kind === "committed" && !options.readOnly) {
      throw new Failure("failed_precondition", `${attempt} for writing: it is committed`);
    }
    const readOnly = options.readOnly || info.kind === "view";
    return [{ type: "bind", source: shelf.content(layer), options: readOnly ? ["ro"] : [] }];
  }

  async usage(layer: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const shelf = await this.#up(signal);
    ensureFound(`Cannot count layer ${layer}`, await shelf.find(layer));
    return this.#trees.usage(shelf.content(layer), signal);
  }

  async resize(layer: LayerId, sizeBytes: number | null, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot set the size limit of layer ${layer}`;
    const shelf = await this.#up(signal);
    ensureCanLimit(attempt, this.traits, sizeBytes);
    const found = ensureActive(attempt, await shelf.find(layer));
    await this.#limit(shelf, found, sizeBytes, signal);
  }

  async list(signal: AbortSignal): Promise<readonly LayerInfo[]> {
    const shelf = await this.#up(signal);
    const { whole, damaged } = await shelf.list();
    this.#damaged = damaged;
    return whole.map(({ info }) => info);
  }

  /** True when it is open and its storage is up: an open again then disturbs no call that is under way. */
  async #serves(): Promise<boolean> {
    if (this.#shelf === undefined) return false;
    return this.#trees.ensureUp().then(
      () => true,
      () => false,
    );
  }

  async #up(signal: AbortSignal): Promise<Shelf> {
    signal.throwIfAborted();
    this.#ensureOpen();
    await this.#trees.ensureUp();
    // Meanwhile it may have been closed, or an open may have failed.
    return this.#ensureOpen();
  }

  #ensureOpen(): Shelf {
    if (this.#shelf !== undefined) return this.#shelf;
    throw new Failure("unavailable", `Cannot use the pool: ${this.#closedBecause}`);
  }

  /** Makes a layer out of sight, then shows it. */
  async #make(
    shelf: Shelf,
    layer: LayerId,
    record: LayerRecord,
    signal: AbortSignal,
    fill: (content: string) => Promise<void>,
  ): Promise<void> {
    const draft = shelf.draftOf(layer);
    this.#underWork.add(draft);
    if (record.parent !== null) this.#needed.set(layer, record.parent);
    try {
      await this.#discard(draft, signal);
      await shelf.draft(layer);
      signal.throwIfAborted();
      // Before the content: with a new subvolume beside it, its sync would be a commit of the whole btrfs.
      await shelf.draftRecord(layer, record);
      signal.throwIfAborted();
      await fill(`${draft}/${CONTENT_DIRECTORY}`);
      if (!this.#trees.settlesNames) await this.#trees.settle();
      signal.throwIfAborted();
      await shelf.publish(layer);
      await this.#settleNames();
    } catch (thrown) {
      // So that it holds no room until the next open, which clears what cannot be cleared now.
      await this.#discard(draft, new AbortController().signal).catch(() => undefined);
      throw thrown;
    } finally {
      this.#needed.delete(layer);
      this.#underWork.delete(draft);
    }
  }

  async #copyParent(
    shelf: Shelf,
    attempt: string,
    parent: LayerId,
    target: string,
    options: { readonly readOnly: boolean },
  ): Promise<void> {
    const found = this.#going.has(parent) ? undefined : await shelf.find(parent);
    if (found === undefined) {
      throw new Failure("not_found", `${attempt}: its parent ${parent} does not exist`);
    }
    if (found.info.kind !== "committed") {
      throw new Failure(
        "failed_precondition",
        `${attempt}: its parent ${parent} is ${found.info.kind}; only a committed layer can be a parent`,
      );
    }
    await this.#trees.copy(shelf.content(parent), target, options);
  }

  async #limit(
    shelf: Shelf,
    { info, record }: ShelvedLayer,
    sizeBytes: number | null,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.traits.sizeLimit === false) return;
    const content = shelf.content(info.id);
    if (sizeBytes !== info.sizeBytes && sizeBytes !== null) {
      await this.#trees.flush(content, signal);
      const attempt = `Cannot set the size limit of layer ${info.id}`;
      await ensureFits(attempt, this.#trees, content, sizeBytes, signal);
    }
    if (sizeBytes === info.sizeBytes) {
      if (this.#unsettled.has(info.id)) await this.#settle(shelf, info.id);
      else await this.#trees.limit(content, sizeBytes);
      return;
    }
    await this.#unsettle(shelf, info.id);
    signal.throwIfAborted();
    // First the limit, then the record, which never tells of a limit that could not be set.
    await this.#trees.limit(content, sizeBytes);
    await shelf.rewriteRecord(info.id, { ...record, sizeBytes });
    await this.#trees.settle();
    await this.#settled(shelf, info.id);
  }

  async #discard(directory: string, signal: AbortSignal): Promise<void> {
    if ((await this.#files.stat(directory)) === undefined) return;
    await this.#trees.remove(`${directory}/${CONTENT_DIRECTORY}`, signal);
    await this.#files.removeTree(directory, signal);
  }

  async #clearLeftovers(shelf: Shelf, signal: AbortSignal): Promise<void> {
    this.#stuck = undefined;
    const { directories, unsettled } = await shelf.leftovers();
    for (const directory of directories) {
      signal.throwIfAborted();
      if (this.#underWork.has(directory)) continue;
      // What stands in the way of one, such as a mount in it, must not stop the others' pool.
      await this.#discard(directory, signal).catch((thrown: unknown) => {
        if (!isInTheWay(thrown)) throw thrown;
        this.#stuck = thrown.message;
      });
    }
    for (const layer of unsettled) {
      signal.throwIfAborted();
      await this.#settle(shelf, layer);
    }
  }

  /** Ends a commit or a resize, also one that was cut short: flags and limit follow the record. */
  async #settle(shelf: Shelf, layer: LayerId): Promise<void> {
    const found = await shelf.find(layer);
    const content = shelf.content(layer);
    if (found?.info.kind === "committed") await this.#trees.seal(content);
    if (found?.info.kind === "active" && this.traits.sizeLimit !== false) {
      await this.#trees.limit(content, found.info.sizeBytes);
    }
    await this.#trees.settle();
    await this.#settled(shelf, layer);
  }

  async #unsettle(shelf: Shelf, layer: LayerId): Promise<void> {
    this.#unsettled.add(layer);
    await shelf.unsettle(layer);
  }

  async #settled(shelf: Shelf, layer: LayerId): Promise<void> {
    await shelf.settled(layer);
    this.#unsettled.delete(layer);
  }

  /** A new layer's name becomes durable, also one that an earlier call gave and did not live to see durable. */
  async #settleNames(): Promise<void> {
    if (this.#trees.settlesNames) await this.#trees.settle();
  }

  async #findChild(shelf: Shelf, layer: LayerId): Promise<LayerId | undefined> {
    for (const [child, parent] of this.#needed) {
      if (parent === layer) return child;
    }
    const bound = this.traits.layers && !this.traits.independentLayers;
    return bound ? shelf.findChild(layer) : undefined;
  }
}
