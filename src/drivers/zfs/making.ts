import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { RootOwner } from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";
import { CONTENT_DIRECTORY } from "../shared/layer-record.ts";
import { ensureFound, isInTheWay } from "../shared/layer-rules.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { type Book, freeName, readerOf, SOURCE_SNAPSHOT, type ZfsLayer } from "./book.ts";
import { type Datasets, isAbandoned, isRemoved } from "./datasets.ts";
import type { Mounts } from "./mounts.ts";
import { reasonOf } from "./parse.ts";

/** How often a clone is tried whose source went away in between. */
const SOURCE_TRIES = 3;

const CLEARING = "Cannot clear away what was left";

/** A layer to be made from a parent. */
export interface FromParent {
  readonly layer: LayerId;
  readonly parent: LayerId;
  readonly state: "active" | "view";
  readonly sizeBytes: number | null;
}

/** Makes layers out of sight, takes them out of sight, and clears away what was left there. */
export class Making {
  readonly #datasets: Datasets;
  readonly #mounts: Mounts;
  readonly #ports: DriverPorts;
  /** Datasets that a call is making or removing. */
  readonly #underWork = new Set<string>();
  /** Datasets that are no layers any more and could not be destroyed yet, and why. */
  readonly #stuck = new Map<string, string>();

  constructor(datasets: Datasets, mounts: Mounts, ports: DriverPorts) {
    this.#datasets = datasets;
    this.#mounts = mounts;
    this.#ports = ports;
  }

  /** Why something of a removed layer is still there; undefined: nothing is. */
  get stuck(): string | undefined {
    return this.#stuck.values().next().value;
  }

  /** A new layer without content. */
  async empty(
    layer: LayerId,
    sizeBytes: number | null,
    owner: RootOwner,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#make(layer, signal, async (name) => {
      await this.#datasets.create(name, sizeBytes, signal);
      const root = await this.#mounts.ensure(name, signal);
      await this.#makeRoot(`${root}/${CONTENT_DIRECTORY}`, owner);
      signal.throwIfAborted();
      // ZFS writes this after the directory, so whoever has it has the directory too.
      const property = { state: "active", id: layer, first: layer, parent: null } as const;
      await this.#datasets.describe(name, property, signal);
    });
  }

  /** A new layer with the content of its parent. @throws {Failure} as contract 10, `failed_precondition` when it does not fit. */
  async fromParent(attempt: string, options: FromParent, signal: AbortSignal): Promise<void> {
    const { layer, parent, state, sizeBytes } = options;
    await this.#make(layer, signal, async (name) => {
      for (let tries = 1; ; tries++) {
        const origin = await this.#sourceOf(`${attempt} from ${parent}`, parent, signal);
        if (sizeBytes !== null) await this.#ensureFits(attempt, origin, sizeBytes, signal);
        const property = { state, id: layer, first: layer, parent };
        try {
          const clone = { property, limitBytes: sizeBytes, readOnly: state === "view" };
          await this.#datasets.clone(origin, name, clone, signal);
          return;
        } catch (thrown) {
          // The source of a committed dataset goes with its last clone, and is made again.
          if (reasonOf(thrown) !== "absent" || tries >= SOURCE_TRIES) throw thrown;
        }
      }
    });
  }

  /** The dataset through which a layer that is a snapshot is read. */
  async reader({ head, snapshot }: ZfsLayer, layer: LayerId, signal: AbortSignal): Promise<string> {
    const name = readerOf(layer);
    const origin = `${head.name}@${snapshot}`;
    const found = (await this.#datasets.read(signal)).findHead(name);
    if (found?.origin === origin) return name;
    if (found !== undefined) await this.#datasets.discard(name, `Cannot read ${layer}`, signal);
    const clone = { property: undefined, limitBytes: null, readOnly: true };
    await this.#datasets.clone(origin, name, clone, signal);
    return name;
  }

  /** Takes a layer away, or what an earlier call left of it. Absent is success. */
  async remove(attempt: string, layer: LayerId, signal: AbortSignal): Promise<void> {
    const book = await this.#datasets.read(signal);
    const found = book.find(layer);
    if (found === undefined) {
      const left = book.heads().filter((head) => isRemoved(head, layer));
      for (const { name } of left) await this.#discard(name, attempt, signal);
    } else if (found.snapshot === null) {
      await this.#removeDataset(attempt, found, signal);
    } else {
      await this.#discard(readerOf(layer), attempt, signal);
      await this.#datasets.removeSnapshot(found.head, found.snapshot, attempt, signal);
    }
    await this.#retryStuck(signal);
  }

  /** Clears away what calls left that never ended. What stands in the way of one must not stop the others' pool. */
  async clearLeftovers(signal: AbortSignal): Promise<void> {
    this.#stuck.clear();
    const book = await this.#datasets.read(signal);
    for (const head of book.heads()) {
      signal.throwIfAborted();
      const { name, property } = head;
      const sealed = typeof property === "object" && property.state === "committed";
      if (this.#underWork.has(name)) continue;
      try {
        if (isAbandoned(head, book) || isRemoved(head)) await this.#discard(name, CLEARING, signal);
        else if (sealed) {
          await this.#datasets.seal(head, signal);
          const source = `${name}@${SOURCE_SNAPSHOT}`;
          const needed = book.heads().some(({ origin }) => origin === source);
          const idle = !needed && head.snapshots.includes(SOURCE_SNAPSHOT);
          if (idle) await this.#datasets.clearSource(name, signal);
        }
      } catch (thrown) {
        if (!isInTheWay(thrown)) throw thrown;
        this.#stuck.set(name, thrown.message);
      }
    }
  }

  async #removeDataset(
    attempt: string,
    { head: { name }, info, record }: ZfsLayer,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#work(name, async () => {
      await this.#mounts.release(name, attempt);
      signal.throwIfAborted();
      const first = record.committedFrom ?? info.id;
      const property = { state: "removed", id: info.id, first, parent: info.parent } as const;
      await this.#datasets.describe(name, property, signal);
    });
    await this.#discard(name, attempt, signal);
  }

  /**
   * Destroys what is no layer any more. What ZFS calls busy although we have unmounted it stays until it is not, which is
   * no failure of a removal: nobody sees it.
   */
  async #discard(name: string, attempt: string, signal: AbortSignal): Promise<void> {
    this.#stuck.delete(name);
    await this.#work(name, async () => {
      try {
        await this.#datasets.discard(name, attempt, signal);
      } catch (thrown) {
        if (reasonOf(thrown) !== "busy") throw thrown;
        const holder = (await this.#mounts.findLeak(name)) ?? "somebody";
        this.#stuck.set(
          name,
          `The dataset ${name} is removed, but ZFS calls it busy: ${holder} still has it mounted; its room comes back when that ends`,
        );
      }
    });
  }

  async #retryStuck(signal: AbortSignal): Promise<void> {
    for (const name of [...this.#stuck.keys()]) {
      if (this.#underWork.has(name) || (await this.#mounts.findLeak(name)) !== undefined) continue;
      await this.#discard(name, CLEARING, signal);
    }
  }

  async #make(
    layer: LayerId,
    signal: AbortSignal,
    work: (name: string) => Promise<void>,
  ): Promise<void> {
    const name = await this.#freeName(layer, signal);
    try {
      await this.#work(name, () => work(name));
    } catch (thrown) {
      // So that it holds no room until the next open, which clears what cannot be cleared now.
      await this.#clear(name, new AbortController().signal).catch(() => undefined);
      throw thrown;
    }
  }

  /** A name for a layer's dataset, and nothing there of an earlier call that never ended. */
  async #freeName(layer: LayerId, signal: AbortSignal): Promise<string> {
    const isTaken = (book: Book, name: string): boolean => {
      const head = book.findHead(name);
      return head !== undefined && !isAbandoned(head, book);
    };
    const book = await this.#datasets.read(signal);
    const name = freeName(layer, (candidate) => isTaken(book, candidate));
    await this.#clear(name, signal);
    return name;
  }

  /** Discards a dataset that is no layer. */
  async #clear(name: string, signal: AbortSignal): Promise<void> {
    const book = await this.#datasets.read(signal);
    const head = book.findHead(name);
    if (head === undefined || !isAbandoned(head, book)) return;
    await this.#datasets.discard(name, CLEARING, signal);
  }

  /** The snapshot that layers made from `parent` are clones of; made now for a dataset that has none yet. */
  async #sourceOf(attempt: string, parent: LayerId, signal: AbortSignal): Promise<string> {
    const found = ensureFound(attempt, (await this.#datasets.read(signal)).find(parent));
    const { info, head, snapshot } = found;
    if (info.kind !== "committed") {
      throw new Failure("failed_precondition", `${attempt}: it is ${info.kind}, not committed`);
    }
    if (snapshot !== null) return `${head.name}@${snapshot}`;
    return this.#datasets.source(head, signal);
  }

  async #ensureFits(
    attempt: string,
    origin: string,
    sizeBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { referencedBytes } = await this.#datasets.usage(origin, signal);
    if (referencedBytes <= sizeBytes) return;
    throw new Failure(
      "failed_precondition",
      `${attempt} with ${formatBytes(sizeBytes)}: its parent holds ${formatBytes(referencedBytes)}; choose a larger limit`,
      { detail: { referencedBytes, sizeBytes } },
    );
  }

  async #makeRoot(path: string, { uid, gid, mode }: RootOwner): Promise<void> {
    await this.#ports.files.makeDirectory(path, { mode, uid, gid });
  }

  async #work(name: string, work: () => Promise<void>): Promise<void> {
    this.#underWork.add(name);
    try {
      await work();
    } finally {
      this.#underWork.delete(name);
    }
  }
}
