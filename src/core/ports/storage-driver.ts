import type { LayerId } from "../id.ts";
import type { Seat } from "../together.ts";
import type { Progress } from "./files.ts";
import type { MountRequest } from "./kernel.ts";

/** What a driver can do beyond the contract. APIs, services and tests read this; nobody asks a driver's name. */
export interface DriverTraits {
  /** Enforces `sizeBytes`; without it a limit is refused. What a writer over the limit gets: `EDQUOT` or `ENOSPC`. */
  readonly sizeLimit: { readonly errno: "EDQUOT" | "ENOSPC" } | false;
  /**
   * `snapshot()` of a layer that is being written: at one instant; at one instant for which its file system is frozen;
   * file by file; or not at all.
   */
  readonly liveSnapshots: "atomic" | "frozen" | "per-file" | false;
  /** `snapshot()` of several layers can be of one instant (`MakeHow.seat`). Absent: no. */
  readonly joinedSnapshots?: true;
  /** `prepare` and `view` with a parent take no time that grows with the layer. */
  readonly instantClones: boolean;
  /** Takes a parent at all. */
  readonly layers: boolean;
  /** `mounts()` of an active layer is a plain path: nothing has to be mounted for it. */
  readonly plainPaths: boolean;
  /** A layer can be removed while layers made from it stay. */
  readonly independentLayers: boolean;
  /** `prepare` takes a directory of its parent as the new root (`from`), and no time that grows with the layer. Absent: no. */
  readonly rootedClones?: true;
  /** `usage()` is read from the driver's books, not counted by walking the tree. */
  readonly instantUsage: boolean;
  /** A layer can be a block device instead of a file tree. `defaultBytes`: the size of one that nobody gave a size. */
  readonly blockDevices?: { readonly defaultBytes: number };
}

export type LayerKind = "active" | "view" | "committed";

export interface LayerInfo {
  readonly id: LayerId;
  readonly kind: LayerKind;
  readonly parent: LayerId | null;
  /** The limit that the driver enforces, in bytes; null: none. Always null for committed layers. */
  readonly sizeBytes: number | null;
  /**
   * 29. Active, and made with `kept` before it was surely on record (25). When it is not, who keeps the records removes it, if
   *     nobody has written to it (27).
   */
  readonly ahead?: true;
}

export interface LayerUsage {
  /** Bytes that a reader of the layer finds on disk, shared ones included. */
  readonly referencedBytes: number;
  /** Bytes that removing the layer would free. */
  readonly exclusiveBytes: number;
  /** Files and directories that the layer has of its own, where the driver counts them. */
  readonly inodes?: number;
  /** How large it is with a limit or without one, where every layer has a size from the start. */
  readonly capacityBytes?: number;
}

/** How to reach a layer's root: what to give to mount(2), with `target` left for the caller. */
export interface LayerMount extends Omit<MountRequest, "target"> {
  /** Where in what is mounted the layer's root is, relative; absent: its top. */
  readonly root?: string;
}

/** Ownership of a new layer's root, applied only by a `prepare` without parent. Unset: 0:0 and 0755. */
export interface RootOwner {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
}

/** What a caller takes upon itself. */
export interface LayerCare {
  /**
   * 22. The caller keeps a durable record of the layer, asks again after a crash for what is not there, and knows by itself what
   *     stands on a layer, and who has it mounted. Then nothing need be durable but what `beginCommit` makes so, and nothing is
   *     refused for a child, nor a commit for a mount. Whoever calls a driver of `Pools` need not wait for such a commit: calls
   *     that name one of its layers do.
   */
  readonly kept?: boolean | undefined;
  /**
   * 23. Of a `remove` with `kept`: calls with the same object are for layers that nobody needed any more when it was made. Who has
   *     them mounted may be looked up once for all, and what they removed need not be durable before `settleRemovals`.
   */
  readonly sweep?: object | undefined;
}

/** How a layer is made. */
export interface MakeHow {
  /** Hears how far the copying is, from drivers without `traits.instantClones`, as far as they know. */
  readonly progress?: Progress | undefined;
  /**
   * 25. Resolves when it is on record that the layer is being made, which may go on beside the work. Before that nothing is made
   *     that outlives the next `open`, or with `kept` what `list` tells to be `ahead`; when it rejects, so does the call, and nothing
   *     is left. Absent: it is on record.
   */
  readonly recorded?: Promise<unknown> | undefined;
  /**
   * 28. Of a `snapshot`, with `traits.joinedSnapshots`: those of the calls that join with seats of one kind are of one instant.
   *     The call joins when all that can be done before is done; when it has ended without, the caller leaves the seat.
   */
  readonly seat?: Seat | undefined;
}

/** What a new active layer is to be. */
export interface NewLayer extends LayerCare, MakeHow {
  readonly parent: LayerId | null;
  /**
   * Directory of the parent, relative, without links on the way, that becomes the root; absent: the parent's root. Only with
   * `traits.rootedClones`. What lies beside it counts for the layer until {@link StorageDriver.trim} has removed it.
   */
  readonly root?: string;
  /** Most bytes of its content; null: no limit. */
  readonly sizeBytes: number | null;
  readonly owner: RootOwner;
  /** With `traits.blockDevices`, and without a parent, whose kind a layer has: it is a block device, of zeroes, not a file tree. */
  readonly block?: boolean | undefined;
}

/** Room of the file system under a pool, in bytes. */
export interface PoolSpace {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** Where a pool's bytes lie, for people: shown by `lagan pool inspect`. */
export type DriverFacts = Readonly<Record<string, string | number | boolean>>;

export type PoolHealth =
  | { readonly state: "up" }
  /** Works, but a person should look: `why` is a whole sentence with what to do. */
  | { readonly state: "warning"; readonly why: string }
  /** Cannot serve writes (gone, read-only, not mounted). */
  | { readonly state: "faulted"; readonly why: string };

/**
 * Keeps layers on one kind of storage: file trees, each *active* (writable), a *view* (read-only) or
 * *committed* (immutable), with at most one parent, which is committed.
 *
 * Held by `tests/conformance/storage-driver.ts`, by number. A driver fails only with a `Failure`,
 * honours `signal` between its steps, and is called once at a time per layer (never twice at once for one id).
 *
 * 1. Every method is idempotent: the same call again, also after a crash in the middle of the first, succeeds
 *    and leaves what one call leaves.
 * 2. A layer is wholly there or wholly absent, after a failure, an abort, `kill -9` or a power cut; remains of
 *    an unfinished call are never listed, and cleared away by the next `open`.
 * 3. What a method did is durable when it resolves.
 * 4. Before `open` and after `close`, and while the pool is faulted: `unavailable`.
 */
export interface StorageDriver {
  readonly traits: DriverTraits;

  /** 5. Brings the pool up: makes what is missing the first time, attaches and mounts. Open already is success. */
  open(signal: AbortSignal): Promise<void>;
  /** 6. Takes down what `open` brought up; layers in use keep the pool mounted, and that is success. */
  close(signal: AbortSignal): Promise<void>;
  /** 7. What the machine says now; never waits for the pool itself longer than its file system does. */
  health(signal: AbortSignal): Promise<PoolHealth>;
  facts(): DriverFacts;
  space(signal: AbortSignal): Promise<PoolSpace>;

  /**
   * A new active layer: empty with `owner`, or with the content and root of `parent`.
   *
   * 8. Exists with equal parent and kind: success (the size is brought to `sizeBytes`); else `already_exists`.
   * 9. A size limit on a driver without them: `failed_precondition`; a parent without `traits.layers`: `unimplemented`.
   * 10. An absent parent: `not_found`; one that is not committed: `failed_precondition`.
   * 11. The new root is empty: no marker, no `lost+found`.
   */
  prepare(layer: LayerId, options: NewLayer, signal: AbortSignal): Promise<void>;
  /** 12. A new read-only layer with the content of `parent`; exists: as 8. */
  view(layer: LayerId, parent: LayerId, signal: AbortSignal, care?: LayerCare): Promise<void>;
  /**
   * 21. Optional. When this resolves, all is durable that `commit(active, as)` with `kept` needs: the content, and the driver's
   *     own note. Who calls it writes to `active` no more; `active` stays active until then. Refused as 13 is. Absent: nothing
   *     has to be.
   * 26. Resolves to true when `active` is untouched ({@link isUntouched}). Then nothing was made durable: a power cut may take
   *     it, also when it is committed, or leave it as it was at any time before; who keeps the record makes it again.
   */
  beginCommit?(active: LayerId, as: LayerId, signal: AbortSignal): Promise<boolean>;
  /**
   * 27. Optional. True when nothing was added to a layer that was prepared from a parent, nor its root changed: `prepare` from that
   *     parent makes the same. False when that is not sure. Takes no time that grows with the layer. Absent: `not_found`.
   */
  isUntouched?(layer: LayerId, signal: AbortSignal): Promise<boolean>;
  /** 13. The active layer `active` becomes the committed layer `as`; `active` is gone. Done already is success. */
  commit(active: LayerId, as: LayerId, signal: AbortSignal, care?: LayerCare): Promise<void>;
  /**
   * 14. `as` is a committed copy of `active` as it is now; `active` goes on. With `liveSnapshots` false only of a layer
   *     that nobody has mounted: what the driver sees mounted is `failed_precondition`. Without `layers`: `unimplemented`.
   *     Without `independentLayers` the parent of `active` may be `as` from then on.
   */
  snapshot(active: LayerId, as: LayerId, signal: AbortSignal, how?: MakeHow): Promise<void>;
  /**
   * 15. Absent is success. A layer that is a parent: with `independentLayers` its children stay whole, and go on
   *     naming it; without: `failed_precondition`, naming one child.
   */
  remove(layer: LayerId, signal: AbortSignal, care?: LayerCare): Promise<void>;
  /**
   * 30. Optional. `remove` with `kept` and this `sweep` of several layers of which none stands on another, in few steps. Answers those
   *     that are gone; why the others are not, and when it rejects what of them is left, is a matter of a `remove` of each.
   */
  removeAll?(
    layers: readonly LayerId[],
    sweep: object,
    signal: AbortSignal,
  ): Promise<readonly LayerId[]>;
  /** 24. Optional. Makes durable what `remove` with a `sweep` and `removeAll` have done so far. Absent: it is already. */
  settleRemovals?(signal: AbortSignal): Promise<void>;
  /**
   * 16. How to reach the layer's root. A single `bind` without options means that `source` can be used as it is. May
   *     attach what the mount needs, and mount what the pool keeps mounted anyway. A view and a committed layer are
   *     always `ro`; a committed one asked for writing: `failed_precondition`; absent: `not_found`. With `shared` the mount
   *     is told as it is made anew, also of an active layer that is mounted already: for an engine that mounts by itself.
   * 23. With `device` an active layer that is a block device is attached, and the answer is one `bind` of its node: a loop
   *     device over a file whose path names the layer, with `readOnly` one that takes no writes. The same call again answers
   *     the same node. It stays attached, also past `close`, until the caller detaches it. A layer of the other kind than
   *     asked for: `failed_precondition`.
   */
  mounts(
    layer: LayerId,
    options: { readonly readOnly: boolean; readonly shared?: boolean; readonly device?: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]>;
  /** 17. Absent: `not_found`. May lag behind writers by the file system's commit interval. */
  usage(layer: LayerId, signal: AbortSignal): Promise<LayerUsage>;
  /** 18. Sets the limit of an active layer, null lifts it; below what is referenced: `failed_precondition`; as 9. */
  resize(layer: LayerId, sizeBytes: number | null, signal: AbortSignal): Promise<void>;
  /**
   * 20. Optional. Whether the content of `active` may be another than that of the committed layer `since`. False only if
   *     `since` was made by `snapshot` of this very layer and nothing was written since, but for what was written within
   *     the last half minute and has not reached the file system's books; never waits for the disk. Absent: `not_found`.
   */
  changedSince?(active: LayerId, since: LayerId, signal: AbortSignal): Promise<boolean>;
  /**
   * 21. With `traits.rootedClones`. Removes what an active layer has of its parent beside its root, and takes as long as that
   *     is large. Nothing there, or absent: success. The layer may be mounted and written meanwhile.
   */
  trim?(layer: LayerId, signal: AbortSignal): Promise<void>;
  /** 19. Every whole layer once, in id order. */
  list(signal: AbortSignal): Promise<readonly LayerInfo[]>;
}
