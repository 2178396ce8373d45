import type { Hold } from "../../core/layer/hold.ts";
import type { LayerKind } from "../../core/ports/storage-driver.ts";

/** What is kept with a hold of containerd's. */
export interface SnapshotData {
  /** Key of the parent; empty: none. */
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Microseconds since the Unix epoch. */
  readonly createdUs: number;
  readonly updatedUs: number;
  /** An active layer that is shown as a view: one of nothing. */
  readonly view?: boolean;
}

/** A snapshot in containerd's words. */
export interface Snapshot extends SnapshotData {
  readonly key: string;
  readonly kind: LayerKind;
}

/** The snapshot that a hold is. */
export function snapshotOf({ holder, kind, data }: Hold): Snapshot {
  const kept = data as SnapshotData;
  return { key: holder.key, kind: kept.view ? "view" : kind, ...kept };
}
