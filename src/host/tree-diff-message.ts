import type { FailureCode } from "../core/failure.ts";
import type { TreeChange } from "../core/ports/tree-diff.ts";

/** What a thread that compares two trees is given. */
export interface TreeDiffOrder {
  readonly from: string;
  readonly to: string;
  /** One 32-bit number: how many more messages it may send. */
  readonly credit: SharedArrayBuffer;
}

/** Why it could not go on; as data, because classes do not survive the way between threads. */
export type TreeDiffFailure =
  | { readonly code: FailureCode; readonly message: string }
  | { readonly call: string; readonly path: string; readonly errno: string };

/** What it sends: differences, and then the end or a failure. */
export type TreeDiffReport =
  | { readonly changes: readonly TreeChange[] }
  | { readonly end: true }
  | { readonly failure: TreeDiffFailure };
