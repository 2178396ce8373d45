import { Failure, type FailureCode } from "../../core/failure.ts";

/** Primary result codes that we tell apart (https://www.sqlite.org/rescode.html). */
const RESULTS: Readonly<Record<number, "busy" | "full" | "input-output" | "corrupt" | "access">> = {
  5: "busy",
  8: "access",
  10: "input-output",
  11: "corrupt",
  13: "full",
  14: "access",
  23: "access",
  26: "corrupt",
};

/** What went wrong in SQLite; `other` for everything that we do not tell apart, and for what is not SQLite's. */
export type SqliteFault = "busy" | "full" | "input-output" | "corrupt" | "access" | "other";

/** The kind of an error thrown by node:sqlite. */
export function faultOf(thrown: unknown): SqliteFault {
  if (!(thrown instanceof Error) || !("errcode" in thrown)) return "other";
  // The low byte is the primary code; the rest says more (10 = I/O error, 1034 = of an fsync).
  return RESULTS[Number(thrown.errcode) & 0xff] ?? "other";
}

/** SQLite's own words, with the extended code: `disk I/O error (1034)`. */
export function wordsOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return "errcode" in thrown ? `${thrown.message} (${String(thrown.errcode)})` : thrown.message;
}

const OPENING: Readonly<Record<SqliteFault, { code: FailureCode; why: string }>> = {
  busy: {
    code: "failed_precondition",
    why: "another process has it open; stop that one first (one lagand for each state directory)",
  },
  full: { code: "resource_exhausted", why: "its file system is full; free some space" },
  "input-output": { code: "unavailable", why: "its disk reports an I/O error; check the disk" },
  corrupt: {
    code: "data_loss",
    why: "the file is damaged, or not a SQLite database; move it away with the -wal file beside it, and put back a copy of both, or a .backup file under its name",
  },
  access: {
    code: "failed_precondition",
    why: "it cannot be opened for writing; check the path, its owner, and that its file system is not read-only",
  },
  other: { code: "internal", why: "SQLite refused it" },
};

/** Why the database at `path` could not be opened. A Failure passes through. */
export function openingFailure(path: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const { code, why } = OPENING[faultOf(thrown)];
  return new Failure(code, `Cannot open the store ${path}: ${why} (${wordsOf(thrown)})`, {
    cause: thrown,
  });
}
