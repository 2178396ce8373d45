import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
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
  RootOwner,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import { type LayerRecord, NEW_RECORD } from "../shared/layer-record.ts";
import {
  ensureActive,
  ensureCanLimit,
  ensureFound,
  ensureSame,
  exists,
  isCommitOf,
} from "../shared/layer-rules.ts";
import { Lineage } from "../shared/lineage.ts";
import type { DriverOptions } from "../shared/options.ts";
import { NEVER_OPENED, PoolDirectory, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { canCloneFiles } from "../shared/reflink.ts";
import { Shelf, type ShelvedLayer } from "../shared/shelf.ts";
import { Ancestry, contentOf } from "./ancestry.ts";
import { Book } from "./book.ts";
import { Contents } from "./contents.ts";
import { Keeping } from "./keeping.ts";
import { readOnlyMount, writableMount } from "./mount-options.ts";
import { parseOverlayOptions } from "./options.ts";
import { ensureTakesOverlay } from "./probe.ts";
import { Uses } from "./uses.ts";

/**
 * A pool of overlay layers, on whatever file system `poolDirectory` lies. It is canonical and absolute.
 *
 * @throws {Failure} `invalid_argument` for any option.
 */
export function createOverlayDriver(
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
  past: PoolPast = NEVER_OPENED,
): StorageDriver {
  parseOverlayOptions(options);
  return new OverlayDriver(poolDirectory, ports, past);
}

/** Layers as directories that the kernel lays over each other. */
class OverlayDriver implements StorageDriver {
  readonly traits: DriverTraits = {
    sizeLimit: false,
    liveSnapshots: false,
    instantClones: true,
    layers: true,
    plainPaths: false,
    independentLayers: false,
    instantUsage: false,
  };
  readonly #pool: PoolDirectory;
  readonly #ports: DriverPorts;
  readonly #contents: Contents;
  readonly #uses: Uses;
  readonly #lineage = new Lineage();
  readonly #underWork = new Set<string>();
  #ancestry = new Ancestry();
  readonly #keeping: Keeping;
  #book: Book | undefined;
  /** Why the last `open` failed, or that there was none. */
  #closedBecause = "it is not open";
  #damaged: readonly LayerId[] = [];
  #fileSystem = "unknown";
  #reflink = false;

  constructor(poolDirectory: string, ports: DriverPorts, past: PoolPast) {
    this.#pool = new PoolDirectory(poolDirectory, ports, past);
    this.#ports = ports;
    this.#contents = new Contents(poolDirectory, ports);
    this.#uses = new Uses(ports.kernel);
    this.#keeping = new Keeping(ports.files, this.#contents, this.#uses, () => this.#ancestry);
  }

  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (await this.#serves()) return;
    const { path } = this.#pool;
    const { files, kernel } = this.#ports;
    try {
      await this.#pool.open();
      this.#fileSystem = (await kernel.statFileSystem(path)).type;
      this.#reflink = await canCloneFiles(path, this.#ports);
      await ensureTakesOverlay(path, this.#ports, signal);
      const shelf = new Shelf(path, files, { syncNames: true, contentName: "" });
      const book = new Book(shelf, files, this.#contents, this.#underWork);
      await book.open(signal);
      this.#ancestry = new Ancestry();
      this.#keeping.open(this.#fileSystem);
      this.#book = book;
    } catch (thrown) {
      this.#book = undefined;
      this.#closedBecause =
        thrown instanceof Failure ? thrown.message : "opening it was broken off";
      throw thrown;
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#book = undefined;
    this.#closedBecause = "it was closed";
  }

  async health(signal: AbortSignal): Promise<PoolHealth> {
    signal.throwIfAborted();
    if (this.#book === undefined) return { state: "faulted", why: this.#closedBecause };
    const health = await this.#pool.health();
    if (health.state !== "up") return health;
    const ids = this.#damaged.join(", ");
    const damaged = `The record of these layers is damaged: ${ids}; restore them`;
    const why = ids === "" ? this.#book.stuck : damaged;
    return why === undefined ? health : { state: "warning", why };
  }

  facts(): DriverFacts {
    const [fileSystem, reflink] = [this.#fileSystem, this.#reflink];
    const firstWrite = reflink ? "shares the bytes of the file" : "copies the whole file";
    return { source: "overlay", directory: this.#pool.path, fileSystem, reflink, firstWrite };
  }

  async space(signal: AbortSignal): Promise<PoolSpace> {
    await this.#up(signal);
    return this.#pool.space();
  }

  async prepare(layer: LayerId, options: NewLayer, signal: AbortSignal): Promise<void> {
    const { parent, sizeBytes, owner, recorded } = options;
    const attempt = `Cannot prepare layer ${layer}`;
    const book = await this.#up(signal, options);
    ensureCanLimit(attempt, this.traits, sizeBytes);
    if (options.kept && (await this.#keeping.prepare(book, attempt, layer, options))) return;
    await recorded;
    const found = await this.#find(book, layer);
    if (found !== undefined) return ensureSame(attempt, found.info, "active", parent);
    await this.#lineage.making(layer, parent, async () => {
      if (parent === null) return this.#make(book, layer, null, owner, signal);
      await this.#lineage.ensureParent(attempt, parent, book.shelf);
      await this.#ancestry.ensureNotTooDeep(book.shelf, attempt, parent);
      const [like = ""] = await this.#ancestry.contentsOf(book.shelf, parent);
      await this.#make(book, layer, parent, { like }, signal);
    });
  }

  async view(
    layer: LayerId,
    parent: LayerId,
    signal: AbortSignal,
    care: LayerCare = {},
  ): Promise<void> {
    const attempt = `Cannot make view ${layer}`;
    const book = await this.#up(signal, care);
    if (care.kept && (await this.#keeping.view(book, layer, parent))) return;
    const found = await this.#find(book, layer);
    if (found !== undefined) return ensureSame(attempt, found.info, "view", parent);
    await this.#lineage.making(layer, parent, async () => {
      await this.#lineage.ensureParent(attempt, parent, book.shelf);
      signal.throwIfAborted();
      await book.publish(layer, { ...NEW_RECORD, kind: "view", parent });
    });
  }

  async beginCommit(active: LayerId, as: LayerId, signal: AbortSignal): Promise<boolean> {
    const book = await this.#up(signal, { kept: true });
    const found = await this.#find(book, active, true);
    const layer = ensureActive(`Cannot commit layer ${active} as ${as}`, found);
    return this.#keeping.beginCommit(book, layer, as);
  }

  async isUntouched(layer: LayerId, signal: AbortSignal): Promise<boolean> {
    const book = await this.#up(signal);
    const found = ensureFound(`Cannot look at layer ${layer}`, await this.#find(book, layer));
    return this.#keeping.isUntouched(book, found);
  }

  async commit(
    active: LayerId,
    as: LayerId,
    signal: AbortSignal,
    care: LayerCare = {},
  ): Promise<void> {
    const attempt = `Cannot commit layer ${active} as ${as}`;
    const book = await this.#up(signal, care);
    if (care.kept && (await this.#keeping.commit(book, active, as))) return;
    this.#keeping.forget(active);
    const before = await this.#find(book, active);
    const after = await this.#find(book, as);
    if (after !== undefined) {
      if (before === undefined && isCommitOf(after, active)) return;
      throw exists(attempt, as);
    }
    const { record } = ensureActive(attempt, before);
    await this.#keeping.quiet(attempt, contentOf(active, record), signal, care);
    const committed = { ...record, committedAs: as, committedFrom: active };
    await book.shelf.rewriteRecord(active, committed);
    signal.throwIfAborted();
    await book.shelf.rename(active, as);
  }

  async snapshot(active: LayerId, as: LayerId, signal: AbortSignal, how?: MakeHow): Promise<void> {
    const attempt = `Cannot snapshot layer ${active} as ${as}`;
    this.#keeping.forget(active);
    const book = await this.#up(signal);
    await how?.recorded;
    const after = await this.#find(book, as);
    if (after !== undefined && isCommitOf(after, active)) return;
    if (after !== undefined) throw exists(attempt, as);
    const found = ensureActive(attempt, await this.#find(book, active));
    const content = contentOf(active, found.record);
    // As many as the snapshot will stand on, and itself.
    await this.#ancestry.ensureNotTooDeep(book.shelf, attempt, found.record.parent);
    await this.#keeping.quiet(attempt, content, signal);
    const next = this.#contents.newName();
    await book.withContent(next, async () => {
      try {
        await this.#contents.make(next, { like: content });
        signal.throwIfAborted();
        await book.snapshot(found, as, content, next);
      } catch (thrown) {
        await this.#dropUnused(book, active, next);
        throw thrown;
      }
    });
  }

  async remove(layer: LayerId, signal: AbortSignal, care: LayerCare = {}): Promise<void> {
    const attempt = `Cannot remove layer ${layer}`;
    const book = await this.#up(signal);
    await this.#lineage.removing([layer], async () => {
      this.#keeping.forget(layer);
      if (!care.kept) {
        const look = () => book.look(() => book.shelf.findChild(layer));
        await this.#lineage.ensureNoChild(attempt, layer, look);
      }
      await book.discard(layer, signal);
      signal.throwIfAborted();
      await this.#keeping.ensureUnused(book, attempt, layer, care.sweep);
      await book.shelf.withdraw(layer);
      this.#ancestry.forget(layer);
      await book.discard(layer, signal);
      // Absent may have been the whole pool.
      await this.#ensureStill(book);
    });
  }

  async removeAll(layers: readonly LayerId[], sweep: object, signal: AbortSignal) {
    const book = await this.#up(signal, { kept: true });
    const work = () => this.#keeping.removeAll(book, layers, sweep, signal);
    return this.#lineage.removing(layers, work);
  }

  async settleRemovals(signal: AbortSignal): Promise<void> {
    await (await this.#up(signal, { kept: true })).shelf.syncLayers();
  }

  async mounts(
    layer: LayerId,
    options: { readonly readOnly: boolean; readonly shared?: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    const attempt = `Cannot mount layer ${layer}`;
    const book = await this.#up(signal, { kept: options.shared === true });
    const found = await this.#find(book, layer, options.shared);
    const { info, record } = ensureFound(attempt, found);
    if (info.kind === "committed" && !options.readOnly) {
      throw new Failure("failed_precondition", `${attempt} for writing: it is committed`);
    }
    const names = await this.#ancestry.contentsOf(book.shelf, record.parent);
    const lowers = names.map((name) => this.#contents.of(name).content);
    if (info.kind === "view") return [readOnlyMount(lowers)];
    const upper = this.#contents.of(contentOf(layer, record));
    if (info.kind === "active" && lowers.length > 0 && options.shared !== true) {
      // Two overlays on one upper directory would each be unaware of what the other writes.
      const writer = await this.#uses.findWriter(upper.content);
      const source = writer?.mountPoint;
      if (source !== undefined) {
        return [{ type: "bind", source, options: [options.readOnly ? "ro" : "rw"] }];
      }
    }
    if (options.readOnly) return [readOnlyMount([upper.content, ...lowers])];
    return [writableMount(upper, lowers)];
  }

  /** What is referenced counts a file once for each layer that has a version of it. */
  async usage(layer: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const book = await this.#up(signal);
    const { record } = ensureFound(`Cannot count layer ${layer}`, await this.#find(book, layer));
    const own = { referencedBytes: 0, exclusiveBytes: 0 };
    const { referencedBytes, ...counted } =
      record.content === undefined ? own : await this.#contents.usage(record.content, signal);
    let sumBytes = referencedBytes;
    for (const name of await this.#ancestry.contentsOf(book.shelf, record.parent)) {
      sumBytes += await this.#contents.sizeOfCommitted(name, signal);
    }
    return { ...counted, referencedBytes: sumBytes };
  }

  async resize(layer: LayerId, sizeBytes: number | null, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot set the size limit of layer ${layer}`;
    const book = await this.#up(signal);
    ensureCanLimit(attempt, this.traits, sizeBytes);
    ensureActive(attempt, await this.#find(book, layer));
  }

  async list(signal: AbortSignal): Promise<readonly LayerInfo[]> {
    const book = await this.#up(signal);
    const { whole, damaged } = await book.look(() => book.shelf.list());
    await this.#ensureStill(book);
    this.#damaged = damaged;
    return whole.map(({ info }) => info);
  }

  /** Makes a layer with a content of its own. */
  async #make(
    book: Book,
    layer: LayerId,
    parent: LayerId | null,
    root: { readonly like: string } | RootOwner,
    signal: AbortSignal,
  ): Promise<void> {
    const content = this.#contents.newName();
    await book.withContent(content, async () => {
      try {
        signal.throwIfAborted();
        await this.#contents.make(content, root);
        signal.throwIfAborted();
        const record: LayerRecord = { ...NEW_RECORD, parent, content };
        await book.publish(layer, record);
      } catch (thrown) {
        await this.#dropUnused(book, layer, content);
        throw thrown;
      }
    });
  }

  /** Removes a content that a call made which failed, if it surely has not become the layer's. */
  async #dropUnused(book: Book, layer: LayerId, content: string): Promise<void> {
    try {
      if ((await book.shelf.find(layer))?.record.content === content) return;
      await this.#ensureStill(book);
      await this.#contents.remove(content, new AbortController().signal);
    } catch {
      // The next open clears it away.
    }
  }

  /** Undefined only when it is surely absent: while a pool is taken down, all of its layers seem to be. */
  async #find(book: Book, layer: LayerId, kept = false): Promise<ShelvedLayer | undefined> {
    const found = (kept && this.#keeping.find(layer)) || (await book.shelf.find(layer));
    if (found === undefined) await this.#ensureStill(book);
    return found;
  }

  /** True when it is open and its storage is up: an open again then disturbs no call that is under way. */
  async #serves(): Promise<boolean> {
    if (this.#book === undefined) return false;
    return this.#pool.ensureUp().then(
      () => true,
      () => false,
    );
  }

  /** With `kept` nothing is concluded from what is absent, so that the storage need not be looked at first. */
  async #up(signal: AbortSignal, { kept }: LayerCare = {}): Promise<Book> {
    signal.throwIfAborted();
    this.#ensureOpen();
    if (!kept) await this.#pool.ensureUp();
    // Meanwhile it may have been closed, or an open may have failed.
    const book = this.#ensureOpen();
    await book.settle();
    return book;
  }

  async #ensureStill(book: Book): Promise<void> {
    await this.#pool.ensureUp();
    if (this.#ensureOpen() === book) return;
    throw new Failure("unavailable", "Cannot use the pool: it was opened again meanwhile");
  }

  #ensureOpen(): Book {
    if (this.#book !== undefined) return this.#book;
    throw new Failure("unavailable", `Cannot use the pool: ${this.#closedBecause}`);
  }
}
