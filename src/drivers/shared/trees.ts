import type {
  DriverFacts,
  DriverTraits,
  LayerUsage,
  PoolHealth,
  PoolSpace,
  RootOwner,
} from "../../core/ports/storage-driver.ts";

/**
 * What differs between storages that keep each layer as one directory tree: how a tree is made, copied, limited,
 * counted and removed. {@link TreeDriver} does the rest. Every method is idempotent.
 */
export interface Trees {
  readonly traits: DriverTraits;

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

  /** A new empty tree. */
  create(path: string, owner: RootOwner): Promise<void>;
  /** A copy of a tree as it is at this instant. Only with `traits.layers`. */
  copy(source: string, target: string, options: { readonly readOnly: boolean }): Promise<void>;
  /** Makes a tree immutable and lifts its limit, as far as the storage can. */
  seal(path: string): Promise<void>;
  /** Only with `traits.sizeLimit`; the same limit again costs nothing. */
  limit(path: string, sizeBytes: number | null): Promise<void>;
  usage(path: string, signal: AbortSignal): Promise<LayerUsage>;
  /** Absent is success. */
  remove(path: string, signal: AbortSignal): Promise<void>;

  /** After it resolves, trees made and limited so far are so after a power cut. */
  settle(): Promise<void>;
  /** `settle` makes every name durable that was given or taken so far, so none needs a sync of its own before. */
  readonly settlesNames: boolean;
  /** After it resolves, what was written to the tree so far is there after a power cut. */
  flush(path: string, signal: AbortSignal): Promise<void>;
}
