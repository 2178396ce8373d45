import type { Progress } from "../../core/ports/files.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerMount,
  LayerUsage,
  NewLayer,
  PoolHealth,
  PoolSpace,
} from "../../core/ports/storage-driver.ts";
import type { Seat } from "../../core/together.ts";

/** How a tree is to be copied. */
export interface CopyOptions {
  readonly readOnly: boolean;
  readonly live?: boolean;
  /** As in sentence 28 of `StorageDriver`. */
  readonly seat?: Seat | undefined;
  readonly progress?: Progress | undefined;
}

/**
 * What differs between storages that keep each layer at one path, as a directory tree or what holds one: how it is made, copied, limited,
 * counted and removed. {@link TreeDriver} does the rest. Every method is idempotent.
 */
export interface Trees {
  /** Some may be known only after `open`. */
  readonly traits: DriverTraits;
  /** Name of a layer's content beside its record; absent: `_data`. */
  readonly contentName?: string;

  /** Attaches and mounts what is needed; answers the directory in which layers are kept, which is there. */
  open(signal: AbortSignal): Promise<string>;
  /** Takes down what `open` brought up; in use is success. */
  close(signal: AbortSignal): Promise<void>;
  /** @throws {Failure} `unavailable` when the storage is not there or takes no writes, and why. */
  ensureUp(): Promise<void>;
  /** Of storage that is open. */
  health(): Promise<PoolHealth>;
  facts(): DriverFacts;
  space(): Promise<PoolSpace>;

  /** A new empty tree. @param layer `sizeBytes`: the limit that will be set next; `block`: only with the trait. */
  create(path: string, layer: Pick<NewLayer, "owner" | "sizeBytes" | "block">): Promise<void>;
  /**
   * A copy of a tree as it is, which `live` (its layer is active) may change meanwhile: `traits.liveSnapshots` says what
   * is copied then. Only with `traits.layers`. After a failure or an abort a part may be there.
   */
  copy(source: string, target: string, options: CopyOptions, signal: AbortSignal): Promise<void>;
  /**
   * How to reach the tree's root; `sealed`: its layer is not active. Absent: `path` itself is the root. `device`: as in
   * sentence 23 of `StorageDriver`.
   */
  mounts?(
    path: string,
    options: { readonly readOnly: boolean; readonly sealed: boolean; readonly device: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]>;
  /**
   * Before a layer is committed or removed. @throws {Failure} `failed_precondition` when that cannot be because somebody
   * has it mounted. @param path May be absent.
   */
  retire?(path: string, attempt: string, signal: AbortSignal): Promise<void>;
  /** Makes a tree immutable and lifts its limit, as far as the storage can. */
  seal(path: string): Promise<void>;
  /** Only with `traits.sizeLimit`; the same limit again costs nothing. */
  limit(path: string, sizeBytes: number | null): Promise<void>;
  /** @throws {Failure} `failed_precondition` when `limit` could not. Absent: what is referenced decides. */
  ensureFits?(attempt: string, path: string, sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** Ends a `limit` that was cut short; answers the limit that holds. Absent: `limit` to what the record says. */
  settleLimit?(path: string, sizeBytes: number | null): Promise<number | null>;
  usage(path: string, signal: AbortSignal): Promise<LayerUsage>;
  /** `false`: `path` surely holds what its copy `copy` does, but for the last half minute. Absent: nobody can tell. */
  hasChanged?(path: string, copy: string): Promise<boolean>;
  /** Absent is success. */
  remove(path: string, signal: AbortSignal): Promise<void>;

  /** After it resolves, trees made and limited so far are so after a power cut. */
  settle(): Promise<void>;
  /** `settle` makes every name durable that was given or taken so far, so none needs a sync of its own before. */
  readonly settlesNames: boolean;
  /** After it resolves, what was written to the tree so far is there after a power cut. */
  flush(path: string, signal: AbortSignal): Promise<void>;
}
