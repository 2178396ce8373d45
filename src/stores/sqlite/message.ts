import { Failure, type FailureCode, type FailureDetail } from "../../core/failure.ts";
import type { Compare, StoreEntry, TxnHow, TxnResult, Write } from "../../core/ports/store.ts";
import type { Stretch } from "../../core/store/feed.ts";
import type { Durability } from "./database.ts";

/** What the worker is started with. */
export interface Start {
  readonly path: string;
  readonly durability: Durability;
}

/** One call to the worker. What it gives is `Given[call.do]`. */
export type Call =
  | { readonly do: "get"; readonly key: string }
  | { readonly do: "list"; readonly prefix: string }
  | { readonly do: "history"; readonly prefix: string; readonly fromRevision: number }
  | Change;

/** A call that writes. */
export type Change =
  | {
      readonly do: "txn";
      readonly compares: readonly Compare[];
      readonly writes: readonly Write[];
      readonly how?: TxnHow;
    }
  | { readonly do: "grantLease"; readonly ttlMs: number }
  | { readonly do: "endLease"; readonly lease: number };

/** What each call gives. */
export interface Given {
  readonly get: StoreEntry | undefined;
  readonly list: { readonly revision: number; readonly entries: readonly StoreEntry[] };
  readonly history: Stretch;
  readonly txn: TxnResult;
  readonly grantLease: number;
  readonly endLease: null;
}

/** To the worker: one batch at a time, the next when the last is done. Its changes are committed together. */
export type Order =
  | { readonly do: "batch"; readonly calls: readonly Call[] }
  | { readonly do: "close" };

/** Answer to the call at place `at` of the batch. */
export type Answer = { readonly at: number } & (
  | { readonly given: Given[Call["do"]] }
  | { readonly failure: FailureText }
);

/** What the worker has found in the file. */
export interface Opened {
  readonly kind: "opened";
  readonly revision: number;
  readonly leases: readonly { readonly lease: number; readonly ttlMs: number }[];
}

/** From the worker: first `opened` or `refused`, and nothing after `refused`, `failed` or `closed`. */
export type Report =
  | Opened
  | { readonly kind: "refused"; readonly failure: FailureText }
  | {
      readonly kind: "answers";
      readonly answers: readonly Answer[];
      /** Of the store, and the keys that the batch has changed. */
      readonly revision: number;
      readonly keys: readonly string[];
      /** True when every call of the batch has been answered. */
      readonly done: boolean;
    }
  | { readonly kind: "failed"; readonly failure: FailureText }
  | { readonly kind: "closed" };

/** A Failure as it crosses threads. */
export interface FailureText {
  readonly code: FailureCode;
  readonly message: string;
  readonly detail: FailureDetail;
  readonly cause: string | undefined;
}

/** Failure → what crosses. */
export function textOf({ code, message, detail, cause }: Failure): FailureText {
  const why = cause instanceof Error ? (cause.stack ?? cause.message) : undefined;
  return { code, message, detail, cause: why };
}

/** What crossed → Failure. */
export function failureOf({ code, message, detail, cause }: FailureText): Failure {
  return new Failure(code, message, { detail, cause });
}
