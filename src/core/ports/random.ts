/** Unpredictable bytes. Held by `tests/conformance/random.ts`. */
export interface Random {
  /** 1. `count` fresh bytes in an array of the caller's own. */
  bytes(count: number): Uint8Array<ArrayBuffer>;
  /** 2. A whole number, 0 <= n < `limit`, every one as likely; `limit` is 1 to 2^32. */
  below(limit: number): number;
}
