import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { Files } from "../../core/ports/files.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerCare,
  LayerInfo,
  LayerMount,
  LayerUsage,
  MakeHow,
  NewLayer,
  PoolHealth,
  PoolSpace,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import { KeptCommit } from "./kept-commit.ts";
import { CONTENT_DIRECTORY, type LayerRecord, NEW_RECORD } from "./layer-record.ts";
import { rootFrom, rootOf, trimContent } from "./layer-root.ts";
import {
  ensureActive,
  ensureCanLayer,
  ensureCanLimit,
  ensureFound,
  ensureMountable,
  ensureSame,
  exists,
  hasNoLayers,
  isCommitOf,
} from "./layer-rules.ts";
import { Lineage } from "./lineage.ts";
import { Settling } from "./settling.ts";
import { Shelf, type ShelvedLayer } from "./shelf.ts";
import type { CopyOptions, Trees } from "./trees.ts";

/** A StorageDriver over any {@link Trees}: the contract's rules, once for all of them. */
export class TreeDriver implements StorageDriver {
  readonly #trees: Trees;
  readonly #files: Files;
  readonly #contentName: string;
  #shelf: Shelf | undefined;
  /** Why the last `open` failed, or that there was none. */
  #closedBecause = "it is not open";
  /** Directories under `tmp` that a call is working on: an `open` meanwhile lets them be. */
  readonly #underWork = new Set<string>();
  readonly #lineage = new Lineage();
  readonly #settling: Settling;
  readonly #keptCommit: KeptCommit;
  #damaged: readonly LayerId[] = [];
  /** Why something of a removed layer was still there after the last `open`. */
  #stuck: string | undefined;

  constructor(trees: Trees, files: Files) {
    this.#trees = trees;
    this.#files = files;
    this.#contentName = trees.contentName ?? CONTENT_DIRECTORY;
    this.#settling = new Settling(trees);
    this.#keptCommit = new KeptCommit(trees, files);
  }

  get traits(): DriverTraits {
    return this.#trees.traits;
  }

  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (await this.#serves()) return;
    try {
      const shelf = new Shelf(await this.#trees.open(signal), this.#files, {
        syncNames: !this.#trees.settlesNames,
        contentName: this.#contentName,
      });
      await shelf.ensureMade();
      const discard = (at: string) => this.#discard(at, signal);
      this.#stuck = await this.#settling.clearLeftovers(shelf, this.#underWork, discard, signal);
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
    const ids = this.#damaged.join(", ");
    const why =
      ids === "" ? this.#stuck : `These layers have damaged records: ${ids}; restore them`;
    return why === undefined || health.state !== "up" ? health : { state: "warning", why };
  }

  facts(): DriverFacts {
    return this.#trees.facts();
  }

  async space(signal: AbortSignal): Promise<PoolSpace> {
    await this.#up(signal);
    return this.#trees.space();
  }

  async prepare(layer: LayerId, options: NewLayer, signal: AbortSignal): Promise<void> {
    const { parent, sizeBytes, progress, recorded, kept, root } = options;
    const attempt = `Cannot prepare layer ${layer}`;
    const shelf = await this.#up(signal);
    ensureCanLimit(attempt, this.traits, sizeBytes);
    ensureCanLayer(attempt, this.traits, parent);
    const found = await this.#find(shelf, layer);
    if (found !== undefined) {
      ensureSame(attempt, found.info, "active", parent);
      await recorded;
      await this.#settling.limit(shelf, found, sizeBytes, signal);
      await this.#settleNames();
      return;
    }
    const rooted = await rootFrom(this.#files, this.traits, shelf, parent, root);
    await this.#make(
      shelf,
      layer,
      { ...NEW_RECORD, parent, sizeBytes, ...rooted },
      { kept, recorded },
      signal,
      async (content) => {
        if (parent === null) await this.#trees.create(content, options);
        else {
          const how = { readOnly: false, progress };
          await this.#copyParent(shelf, attempt, parent, content, how, signal);
        }
        await this.#settling.limitNew(content, attempt, { parent, sizeBytes }, signal);
      },
    );
  }

  async view(
    layer: LayerId,
    parent: LayerId,
    signal: AbortSignal,
    care: LayerCare = {},
  ): Promise<void> {
    const attempt = `Cannot make view ${layer}`;
    const shelf = await this.#up(signal);
    ensureCanLayer(attempt, this.traits, parent);
    const found = await this.#find(shelf, layer);
    if (found !== undefined) {
      ensureSame(attempt, found.info, "view", parent);
      await this.#settleNames();
      return;
    }
    const root = await rootFrom(this.#files, this.traits, shelf, parent);
    const record: LayerRecord = { ...NEW_RECORD, kind: "view", parent, ...root };
    await this.#make(shelf, layer, record, care, signal, (content) =>
      this.#copyParent(shelf, attempt, parent, content, { readOnly: true }, signal),
    );
  }

  async beginCommit(active: LayerId, as: LayerId, signal: AbortSignal): Promise<boolean> {
    const attempt = `Cannot commit layer ${active} as ${as}`;
    const shelf = await this.#up(signal);
    const found = ensureActive(attempt, await this.#find(shelf, active));
    return this.#keptCommit.begin(shelf, attempt, found, as, signal);
  }

  async commit(
    active: LayerId,
    as: LayerId,
    signal: AbortSignal,
    { kept }: LayerCare = {},
  ): Promise<void> {
    const attempt = `Cannot commit layer ${active} as ${as}`;
    const shelf = await this.#up(signal);
    if (kept && (await this.#keptCommit.end(shelf, active, as))) return;
    const before = await this.#find(shelf, active);
    const after = await this.#find(shelf, as);
    if (after === undefined) {
      const { record } = ensureActive(attempt, before);
      await this.#trees.retire?.(shelf.content(active), attempt, signal);
      await this.#trees.flush(shelf.content(active), signal);
      await shelf.rewriteRecord(active, { ...record, committedAs: as, committedFrom: active });
      await this.#settling.begin(shelf, as);
      signal.throwIfAborted();
      await shelf.rename(active, as);
    } else if (before !== undefined || !isCommitOf(after, active)) {
      throw exists(attempt, as);
    }
    await this.#settling.settle(shelf, as);
  }

  async snapshot(
    active: LayerId,
    as: LayerId,
    signal: AbortSignal,
    { progress, recorded, seat }: MakeHow = {},
  ): Promise<void> {
    const attempt = `Cannot snapshot layer ${active} as ${as}`;
    const shelf = await this.#up(signal);
    if (!this.traits.layers) throw hasNoLayers(attempt);
    const after = await this.#find(shelf, as);
    if (after !== undefined) {
      if (!isCommitOf(after, active)) throw exists(attempt, as);
      await recorded;
      await this.#settleNames();
      return;
    }
    const { record } = ensureActive(attempt, await this.#find(shelf, active));
    const copy = { ...record, sizeBytes: null, committedAs: as, committedFrom: active };
    await this.#make(shelf, as, copy, { recorded }, signal, (content) =>
      this.#trees.copy(
        shelf.content(active),
        content,
        { readOnly: true, live: true, progress, seat },
        signal,
      ),
    );
  }

  async remove(layer: LayerId, signal: AbortSignal, { kept }: LayerCare = {}): Promise<void> {
    const attempt = `Cannot remove layer ${layer}`;
    const shelf = await this.#up(signal);
    const leftover = shelf.removedOf(layer);
    this.#underWork.add(leftover);
    try {
      await this.#lineage.removing([layer], async () => {
        if (!kept) {
          const bound = this.traits.layers && !this.traits.independentLayers;
          const look = async () => (bound ? shelf.findChild(layer) : undefined);
          await this.#lineage.ensureNoChild(attempt, layer, look);
        }
        await this.#discard(leftover, signal);
        signal.throwIfAborted();
        await this.#trees.retire?.(shelf.content(layer), attempt, signal);
        await shelf.withdraw(layer);
        await this.#discard(leftover, signal);
        // Absent may have been the whole pool.
        await this.#ensureSame(shelf);
      });
    } finally {
      this.#underWork.delete(leftover);
    }
  }

  async mounts(
    layer: LayerId,
    options: { readonly readOnly: boolean; readonly device?: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    const attempt = `Cannot mount layer ${layer}`;
    const shelf = await this.#up(signal);
    const { info, record } = ensureFound(attempt, await this.#find(shelf, layer));
    ensureMountable(attempt, info, options);
    const readOnly = options.readOnly || info.kind === "view";
    const how = { readOnly, sealed: info.kind !== "active", device: options.device ?? false };
    const given = this.#trees.mounts?.(shelf.content(layer), how, signal);
    const bind = { type: "bind", source: rootOf(shelf.content(layer), record) };
    return given ?? [{ ...bind, options: readOnly ? ["ro"] : [] }];
  }

  async usage(layer: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const shelf = await this.#up(signal);
    ensureFound(`Cannot count layer ${layer}`, await this.#find(shelf, layer));
    return this.#trees.usage(shelf.content(layer), signal);
  }

  async resize(layer: LayerId, sizeBytes: number | null, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot set the size limit of layer ${layer}`;
    const shelf = await this.#up(signal);
    ensureCanLimit(attempt, this.traits, sizeBytes);
    const found = ensureActive(attempt, await this.#find(shelf, layer));
    await this.#settling.limit(shelf, found, sizeBytes, signal);
  }

  async changedSince(active: LayerId, since: LayerId, signal: AbortSignal): Promise<boolean> {
    const attempt = `Cannot compare layer ${active} with ${since}`;
    const shelf = await this.#up(signal);
    ensureActive(attempt, await this.#find(shelf, active));
    ensureFound(attempt, await this.#find(shelf, since));
    return this.#trees.hasChanged?.(shelf.content(active), shelf.content(since)) ?? true;
  }

  async trim(layer: LayerId, signal: AbortSignal): Promise<void> {
    const shelf = await this.#up(signal);
    await trimContent(this.#files, shelf.content(layer), await this.#find(shelf, layer), signal);
  }

  async list(signal: AbortSignal): Promise<readonly LayerInfo[]> {
    const shelf = await this.#up(signal);
    const { whole, damaged } = await shelf.list();
    await this.#ensureSame(shelf);
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

  /** Undefined only when it is surely absent: while a pool is taken down, all of its layers seem to be. */
  async #find(shelf: Shelf, layer: LayerId): Promise<ShelvedLayer | undefined> {
    const found = await shelf.find(layer);
    if (found === undefined) await this.#ensureSame(shelf);
    return found;
  }

  async #ensureSame(shelf: Shelf): Promise<void> {
    await this.#trees.ensureUp();
    if (this.#ensureOpen() === shelf) return;
    throw new Failure("unavailable", "Cannot use the pool: it was opened again meanwhile");
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
    { kept, recorded }: LayerCare & Pick<MakeHow, "recorded">,
    signal: AbortSignal,
    fill: (content: string) => Promise<void>,
  ): Promise<void> {
    const draft = shelf.draftOf(layer);
    this.#underWork.add(draft);
    try {
      await this.#lineage.making(layer, record.parent, async () => {
        await this.#discard(draft, signal);
        // The record before the content: with a new subvolume beside it, its sync would be a commit of the whole btrfs.
        // Where one commit makes all names durable, it is enough that the record comes no later than they do.
        if (kept || this.#trees.settlesNames) {
          await this.#files.perform(shelf.stepsToDraft(layer, record));
        } else {
          await shelf.draft(layer);
          await shelf.draftRecord(layer, record);
        }
        signal.throwIfAborted();
        await fill(`${draft}/${this.#contentName}`);
        if (!kept && !this.#trees.settlesNames) await this.#trees.settle();
        await recorded;
        signal.throwIfAborted();
        if (kept) await this.#files.perform(shelf.stepsToPublish(layer));
        else {
          await shelf.publish(layer);
          await this.#settleNames();
        }
      });
    } catch (thrown) {
      // So that it holds no room until the next open, which clears what cannot be cleared now.
      await this.#discard(draft, new AbortController().signal).catch(() => undefined);
      throw thrown;
    } finally {
      this.#underWork.delete(draft);
    }
  }

  async #copyParent(
    shelf: Shelf,
    attempt: string,
    parent: LayerId,
    target: string,
    options: CopyOptions,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#lineage.ensureParent(attempt, parent, shelf);
    await this.#trees.copy(shelf.content(parent), target, options, signal);
  }

  async #discard(directory: string, signal: AbortSignal): Promise<void> {
    if ((await this.#files.stat(directory)) === undefined) return;
    await this.#trees.remove(`${directory}/${this.#contentName}`, signal);
    await this.#files.removeTree(directory, signal);
  }

  /** A new layer's name becomes durable, also one that an earlier call gave and did not live to see durable. */
  async #settleNames(): Promise<void> {
    if (this.#trees.settlesNames) await this.#trees.settle();
  }
}
