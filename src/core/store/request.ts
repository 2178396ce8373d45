import { Failure } from "../failure.ts";
import {
  type Compare,
  STORE_KEY_LIMIT_BYTES,
  STORE_TXN_LIMIT,
  STORE_TXN_LIMIT_BYTES,
  STORE_VALUE_LIMIT_BYTES,
  type Write,
} from "../ports/store.ts";
import { isUtf8, utf8SizeBytes } from "../utf8.ts";

/** Shortest and longest time to live of a lease, in milliseconds. */
export const LEASE_TTL_MIN_MS = 1_000;
export const LEASE_TTL_MAX_MS = 3_600_000;

/** @throws {Failure} `invalid_argument` when it is not a key. */
export function checkKey(key: string): void {
  const why = faultOfKey(key);
  if (why !== undefined)
    throw new Failure("invalid_argument", `Cannot use the store's key: ${why}`);
}

/** @throws {Failure} `invalid_argument` when no key can start with it. */
export function checkPrefix(prefix: string): void {
  const why = prefix === "" ? undefined : faultOfKey(prefix);
  if (why !== undefined)
    throw new Failure("invalid_argument", `Cannot read the store's keys by prefix: ${why}`);
}

/** @throws {Failure} `invalid_argument` when the transaction breaks a limit or writes a key twice. */
export function checkTxn(compares: readonly Compare[], writes: readonly Write[]): void {
  const why = faultOfTxn(compares, writes);
  if (why !== undefined) throw new Failure("invalid_argument", `Cannot change the store: ${why}`);
}

/** @throws {Failure} `invalid_argument` when a lease cannot live so long. */
export function checkLeaseTtl(ttlMs: number): void {
  if (Number.isInteger(ttlMs) && ttlMs >= LEASE_TTL_MIN_MS && ttlMs <= LEASE_TTL_MAX_MS) return;
  throw new Failure(
    "invalid_argument",
    `Cannot grant a lease of ${ttlMs} ms: it must be ${LEASE_TTL_MIN_MS} to ${LEASE_TTL_MAX_MS}, and whole`,
  );
}

/** @throws {Failure} `invalid_argument` when no history starts there. */
export function checkFromRevision(revision: number): void {
  if (Number.isSafeInteger(revision) && revision >= 1) return;
  throw new Failure("invalid_argument", `Cannot watch from revision ${revision}: the first is 1`);
}

/** The lease is not there, or is no longer: for a renewal and for a put that names it. */
export function leaseEnded(lease: number): Failure {
  return new Failure(
    "not_found",
    `Cannot use lease ${lease}: it has ended, or never was; take a new one`,
  );
}

function faultOfTxn(compares: readonly Compare[], writes: readonly Write[]): string | undefined {
  if (compares.length > STORE_TXN_LIMIT || writes.length > STORE_TXN_LIMIT) {
    return `${compares.length} compares and ${writes.length} writes in one transaction; at most ${STORE_TXN_LIMIT} of each are allowed`;
  }
  let sizeBytes = 0;
  for (const { key, modRevision } of compares) {
    const why = faultOfKey(key);
    if (why !== undefined) return why;
    if (!Number.isSafeInteger(modRevision) || modRevision < 0)
      return `${modRevision} is not a revision`;
    sizeBytes += utf8SizeBytes(key);
  }
  const written = new Set<string>();
  for (const write of writes) {
    const why = faultOfKey(write.key) ?? (write.do === "put" ? faultOfPut(write) : undefined);
    if (why !== undefined) return why;
    if (written.has(write.key))
      return `key ${JSON.stringify(write.key)} is written twice in one transaction`;
    written.add(write.key);
    sizeBytes += utf8SizeBytes(write.key) + (write.do === "put" ? utf8SizeBytes(write.value) : 0);
  }
  if (sizeBytes > STORE_TXN_LIMIT_BYTES) {
    return `the transaction has ${sizeBytes} bytes; at most ${STORE_TXN_LIMIT_BYTES} are allowed`;
  }
  return undefined;
}

function faultOfPut(put: Write & { readonly do: "put" }): string | undefined {
  const { key, value, lease } = put;
  const sizeBytes = utf8SizeBytes(value);
  const named = JSON.stringify(key);
  if (sizeBytes > STORE_VALUE_LIMIT_BYTES) {
    return `the value of ${named} has ${sizeBytes} bytes; at most ${STORE_VALUE_LIMIT_BYTES} are allowed`;
  }
  if (!isUtf8(value))
    return `the value of ${named} has half of a surrogate pair, which UTF-8 cannot hold`;
  if (lease !== undefined && !(Number.isSafeInteger(lease) && lease >= 1)) {
    return `${lease} is not a lease (key ${named})`;
  }
  return undefined;
}

function faultOfKey(key: string): string | undefined {
  if (key === "") return "it is empty";
  const sizeBytes = utf8SizeBytes(key);
  if (sizeBytes > STORE_KEY_LIMIT_BYTES) {
    return `${JSON.stringify(`${key.slice(0, 32)}…`)} has ${sizeBytes} bytes; at most ${STORE_KEY_LIMIT_BYTES} are allowed`;
  }
  if (!isUtf8(key))
    return `${JSON.stringify(key)} has half of a surrogate pair, which UTF-8 cannot hold`;
  return undefined;
}
