import type { LayerId } from "../../core/id.ts";
import type { LayerUsage } from "../../core/ports/storage-driver.ts";
import {
  type Book,
  freeName,
  type Head,
  isReader,
  layerOfSnapshot,
  SOURCE_SNAPSHOT,
} from "./book.ts";
import { Books, sortSnapshots } from "./books.ts";
import type { SnapshotRow, ZfsCommands } from "./commands.ts";
import { formatLayerProperty, LAYER_PROPERTY, type LayerProperty } from "./layer-property.ts";
import { ANCHOR, type Mounts } from "./mounts.ts";
import { parseBytes, reasonOf } from "./parse.ts";

/** What a new clone is to be from its first instant. */
export interface NewClone {
  readonly property: LayerProperty | undefined;
  readonly limitBytes: number | null;
  readonly readOnly: boolean;
}

/**
 * Changes the datasets of a pool, each by one command, and keeps the book of them.
 *
 * 1. A dataset is a layer from the `zfs set` or `zfs clone` that gives it its property, until the one that says `removed`.
 * 2. ZFS destroys no dataset with snapshots, and no snapshot with clones. So what is removed and still needed stays out
 *    of sight, without content of its own, and goes with the last that needs it.
 */
export class Datasets {
  readonly #base: string;
  readonly #zfs: ZfsCommands;
  readonly #mounts: Mounts;
  readonly #books: Books;

  constructor(base: string, zfs: ZfsCommands, mounts: Mounts) {
    this.#base = base;
    this.#zfs = zfs;
    this.#mounts = mounts;
    this.#books = new Books(base, zfs);
  }

  read(signal: AbortSignal): Promise<Book> {
    return this.#books.read(signal);
  }

  /** The next {@link read} asks ZFS. */
  forget(): void {
    this.#books.forget();
  }

  /** Of a dataset, or of a snapshot: `NAME@SNAPSHOT`. @throws {Failure} `not_found`. */
  async usage(name: string, signal: AbortSignal): Promise<LayerUsage> {
    // "unique" is in no manual and in every version: bytes that nothing else refers to.
    const values = await this.#zfs.properties([this.#full(name)], ["referenced", "unique"], signal);
    const figures = values.get(this.#full(name));
    return {
      referencedBytes: parseBytes(figures?.get("referenced")),
      exclusiveBytes: parseBytes(figures?.get("unique")),
    };
  }

  /** False only when the snapshot is the dataset's last and nothing was written to it since. */
  async hasChanged(name: string, snapshot: string, signal: AbortSignal): Promise<boolean> {
    const rows = await this.#zfs.snapshots([this.#full(name)], signal);
    if (rows.at(-1)?.snapshot !== snapshot) return true;
    // Whatever changes in a dataset is written to new blocks, which its last snapshot has not.
    return (await this.usage(name, signal)).exclusiveBytes > 0;
  }

  /** After it resolves, all that was written to the pool so far is on disk and counted. zfs-fuse has no `zpool sync`. */
  async settle(signal: AbortSignal): Promise<void> {
    const argv = ["zfs", "set", "lagan:settled=yes", this.#full(ANCHOR)] as const;
    await this.#zfs.run("Cannot settle the pool", argv, signal);
  }

  /** A new empty dataset, which is no layer yet. */
  create(name: string, limitBytes: number | null, signal: AbortSignal): Promise<void> {
    const options = ["-o", "canmount=noauto", ...limitOption(limitBytes)];
    const argv = ["zfs", "create", ...options, this.#full(name)] as const;
    return this.#change(`Cannot create dataset ${name}`, argv, signal, (book) =>
      book.put({ ...EMPTY, name, limitBytes }),
    );
  }

  /** A new dataset with the content of a snapshot, `NAME@SNAPSHOT`. */
  clone(origin: string, name: string, clone: NewClone, signal: AbortSignal): Promise<void> {
    const { property, limitBytes, readOnly } = clone;
    const options = ["-o", "canmount=noauto", ...limitOption(limitBytes)];
    if (readOnly) options.push("-o", "readonly=on");
    // The last of all that ZFS sets, so whoever has it has the rest too.
    if (property !== undefined) options.push("-o", layerOption(property));
    const argv = ["zfs", "clone", ...options, this.#full(origin), this.#full(name)] as const;
    return this.#change(`Cannot clone ${origin}`, argv, signal, (book) =>
      book.put({ ...EMPTY, name, property, limitBytes, readOnly, origin }),
    );
  }

  describe(name: string, property: LayerProperty, signal: AbortSignal): Promise<void> {
    return this.#set(name, layerOption(property), { property }, signal);
  }

  /** @throws {Failure} `failed_precondition` below what is referenced. */
  limit(
    name: string,
    limitBytes: number | null,
    attempt: string,
    signal: AbortSignal,
  ): Promise<void> {
    const option = `refquota=${limitBytes ?? "none"}`;
    return this.#set(name, option, { limitBytes }, signal, attempt);
  }

  /** Takes writes and the limit away, if they are there. */
  async seal({ name, readOnly, limitBytes }: Head, signal: AbortSignal): Promise<void> {
    if (!readOnly) await this.#set(name, "readonly=on", { readOnly: true }, signal);
    if (limitBytes !== null) await this.limit(name, null, `Cannot seal ${name}`, signal);
  }

  /** A snapshot of this instant that is a layer. */
  snapshot(
    { name, snapshots, deferred }: Head,
    layer: LayerId,
    signal: AbortSignal,
  ): Promise<void> {
    const taken = new Set([...snapshots, ...deferred]);
    return this.#snapshot(
      name,
      freeName(layer, (candidate) => taken.has(candidate)),
      signal,
    );
  }

  /** The snapshot of a committed dataset that layers made from it are clones of, `NAME@SNAPSHOT`; made if it is not there. */
  async source({ name }: Head, signal: AbortSignal): Promise<string> {
    await this.#snapshot(name, SOURCE_SNAPSHOT, signal);
    return `${name}@${SOURCE_SNAPSHOT}`;
  }

  /** There already is success. */
  #snapshot(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    const argv = ["zfs", "snapshot", this.#full(`${name}@${snapshot}`)] as const;
    return this.#books.change(
      async () => {
        await this.#zfs.tries(["present"], argv, signal);
      },
      (book) => {
        const before = book.findHead(name)?.snapshots ?? [];
        if (!before.includes(snapshot)) book.patch(name, { snapshots: [...before, snapshot] });
      },
    );
  }

  /** Destroys a dataset that is no layer any more, or as much of it as nobody needs. Absent is success. */
  async discard(name: string, attempt: string, signal: AbortSignal): Promise<void> {
    await this.#mounts.release(name, attempt);
    const book = await this.read(signal);
    const head = book.findHead(name);
    if (head === undefined) return;
    const left = await this.#clearRemovedSource(name, signal);
    const latest = left.at(-1);
    if (latest !== undefined) {
      // The content since then is nobody's. Without success it only takes room.
      await this.#zfs.tries(ALL, ["zfs", "rollback", this.#full(`${name}@${latest}`)], signal);
      return;
    }
    await this.#destroy(name, signal);
    if (head.origin !== null) await this.#discardOrigin(head.origin, attempt, signal);
  }

  /** Destroys the source of a committed dataset when nobody needs it, so that its bytes are counted as its own again. */
  async clearSource(name: string, signal: AbortSignal): Promise<void> {
    let gone = false;
    await this.#books.change(
      async () => {
        gone = await this.#destroySnapshot(`${name}@${SOURCE_SNAPSHOT}`, [], signal);
      },
      (book) => {
        if (gone) dropSnapshot(book, name, SOURCE_SNAPSHOT);
      },
    );
  }

  /**
   * Removes a snapshot that is a layer; layers that were made from it keep what they need of it. Never by `zfs rename`:
   * that unmounts, and mounts again, everything made from it (zfs-fuse; OpenZFS before 2.0).
   */
  async removeSnapshot(
    { name }: Head,
    snapshot: string,
    attempt: string,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#books.change(
      async () => {
        await this.#destroySnapshot(`${name}@${snapshot}`, ["-d"], signal);
      },
      (book) => {
        const deferred = book.findHead(name)?.deferred ?? [];
        book.patch(name, { deferred: [...deferred, snapshot] });
        dropSnapshot(book, name, snapshot);
      },
    );
    await this.#discardIfRemoved(name, attempt, signal);
  }

  /** Destroys the source of a removed dataset, or has it go with the last that needs it. Answers which snapshots are left. */
  async #clearRemovedSource(name: string, signal: AbortSignal): Promise<readonly string[]> {
    const before = await this.#list(name, signal);
    if (!before.includes(SOURCE_SNAPSHOT)) return before;
    await this.#destroySnapshot(`${name}@${SOURCE_SNAPSHOT}`, ["-d"], signal);
    return this.#list(name, signal);
  }

  /** All snapshots that ZFS has of a dataset, noted: those that were only kept for clones go by themselves. */
  async #list(name: string, signal: AbortSignal): Promise<readonly string[]> {
    let rows: readonly SnapshotRow[] = [];
    await this.#books.change(
      async () => {
        rows = await this.#zfs.snapshots([this.#full(name)], signal);
      },
      (book) => book.patch(name, sortSnapshots(rows)),
    );
    return rows.map(({ snapshot }) => snapshot);
  }

  /** False when somebody needs it. Absent is success. */
  async #destroySnapshot(
    snapshot: string,
    options: readonly string[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const argv = ["zfs", "destroy", ...options, this.#full(snapshot)] as const;
    try {
      return await this.#zfs.tries(["dependents"], argv, signal);
    } catch (thrown) {
      if (reasonOf(thrown) === "absent") return true;
      throw thrown;
    }
  }

  #destroy(name: string, signal: AbortSignal): Promise<void> {
    const argv = ["zfs", "destroy", this.#full(name)] as const;
    return this.#books.change(
      async () => {
        await this.#zfs.tries(["absent"], argv, signal);
      },
      (book) => book.drop(name),
    );
  }

  /** After a clone is gone: what was kept only for it. */
  async #discardOrigin(origin: string, attempt: string, signal: AbortSignal): Promise<void> {
    const [name = "", snapshot = ""] = origin.split("@");
    if (snapshot === SOURCE_SNAPSHOT) await this.clearSource(name, signal);
    await this.#discardIfRemoved(name, attempt, signal);
  }

  async #discardIfRemoved(name: string, attempt: string, signal: AbortSignal): Promise<void> {
    const head = (await this.read(signal)).findHead(name);
    if (head === undefined || !isRemoved(head) || head.snapshots.some(layerOfSnapshot)) return;
    await this.discard(name, attempt, signal);
  }

  #set(
    name: string,
    option: string,
    change: Partial<Head>,
    signal: AbortSignal,
    attempt = `Cannot change dataset ${name}`,
  ): Promise<void> {
    const argv = ["zfs", "set", option, this.#full(name)] as const;
    return this.#change(attempt, argv, signal, (book) => book.patch(name, change));
  }

  #change(
    attempt: string,
    argv: readonly ["zfs", ...string[]],
    signal: AbortSignal,
    note: (book: Book) => void,
  ): Promise<void> {
    return this.#books.change(() => this.#zfs.runPatiently(attempt, argv, signal), note);
  }

  #full(name: string): string {
    return `${this.#base}/${name}`;
  }
}

/** True of a dataset that is no layer any more, and stays while something needs it. @param layer Which it was; absent: any. */
export function isRemoved({ property }: Head, layer?: LayerId): boolean {
  if (typeof property !== "object" || property.state !== "removed") return false;
  return layer === undefined || property.id === layer;
}

/** True of a dataset that a call left which never ended, or through which nothing is read any more. */
export function isAbandoned(head: Head, book: Book): boolean {
  if (!isReader(head.name)) return head.property === undefined;
  const [name = "", snapshot = ""] = (head.origin ?? "").split("@");
  return !(book.findHead(name)?.snapshots ?? []).includes(snapshot);
}

const EMPTY: Omit<Head, "name"> = {
  property: undefined,
  origin: null,
  limitBytes: null,
  readOnly: false,
  snapshots: [],
  deferred: [],
};

const ALL = ["busy", "dependents", "absent", "present", "other"] as const;

function dropSnapshot(book: Book, name: string, snapshot: string): void {
  const snapshots = book.findHead(name)?.snapshots ?? [];
  book.patch(name, { snapshots: snapshots.filter((other) => other !== snapshot) });
}

function limitOption(limitBytes: number | null): readonly string[] {
  return limitBytes === null ? [] : ["-o", `refquota=${limitBytes}`];
}

function layerOption(property: LayerProperty): string {
  return `${LAYER_PROPERTY}=${formatLayerProperty(property)}`;
}
