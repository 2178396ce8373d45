import { closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { Failure } from "../../core/failure.ts";

/** "LGAN": says in the file's header whose database it is. */
export const APPLICATION_ID = 0x4c47414e;

/**
 * What makes each schema version out of the one before; the first out of an empty file. Never changed once released:
 * a new version is a new element. An older lagand refuses a newer file, so every element is one-way.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE leases (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    ttl_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE entries (
    key TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER REFERENCES leases (id)
  ) STRICT;
  CREATE INDEX entries_by_lease ON entries (lease) WHERE lease IS NOT NULL;
  -- Every change of the last revisions, in order. The greatest revision here is the store's.
  CREATE TABLE history (
    revision INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT, -- NULL: a deletion, and so is the rest
    create_revision INTEGER,
    version INTEGER,
    lease INTEGER,
    PRIMARY KEY (revision, nth)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** What the header of a database says. */
export interface Header {
  readonly applicationId: number;
  /** Schema version; 0 in an empty file. */
  readonly version: number;
}

/** Reads the header. */
export function headerOf(db: DatabaseSync): Header {
  return {
    applicationId: readPragma(db, "application_id"),
    version: readPragma(db, "user_version"),
  };
}

/**
 * Refuses what is not ours to write.
 *
 * @throws {Failure} `failed_precondition` when the file is another program's, or of a newer lagand than one that
 * knows versions up to `known`.
 */
export function checkHeader(path: string, { applicationId, version }: Header, known: number): void {
  if (applicationId !== APPLICATION_ID && (applicationId !== 0 || version !== 0)) {
    throw foreign(path, `application id ${applicationId}, version ${version}`);
  }
  if (version > known) {
    throw new Failure(
      "failed_precondition",
      `Cannot open the store ${path}: it has schema version ${version}, and this lagand knows versions up to ${known}; run the newer lagand that wrote it`,
      { detail: { version, known } },
    );
  }
}

/** The same for a file that has no mark of ours: it must be empty. */
export function checkTables(path: string, db: DatabaseSync): void {
  if (headerOf(db).applicationId === APPLICATION_ID) return;
  const table = db.prepare("SELECT name FROM sqlite_schema").get()?.["name"];
  if (table !== undefined) throw foreign(path, `it has ${String(table)}`);
}

/**
 * Brings a database that has passed the checks to the newest schema, in one transaction; before that, what an older
 * one held is copied to `<path>.v<version>.backup`. False when there was nothing to do.
 */
export function migrate(path: string, db: DatabaseSync, migrations: readonly string[]): boolean {
  const { version } = headerOf(db);
  if (version === migrations.length) return false;
  if (version > 0) backUp(path, db, version);
  db.exec("BEGIN IMMEDIATE");
  for (const migration of migrations.slice(version)) db.exec(migration);
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${migrations.length}`);
  db.exec("COMMIT");
  return true;
}

function backUp(path: string, db: DatabaseSync, version: number): void {
  const backup = `${path}.v${version}.backup`;
  const partial = `${backup}.partial`;
  rmSync(partial, { force: true });
  db.prepare("VACUUM INTO ?").run(partial);
  syncPath(partial);
  renameSync(partial, backup);
  syncPath(dirname(path));
}

/** Makes a file, or a directory's entries, durable. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function foreign(path: string, sign: string): Failure {
  return new Failure(
    "failed_precondition",
    `Cannot open the store ${path}: it is a SQLite database of another program (${sign}); choose another path`,
  );
}

function readPragma(db: DatabaseSync, name: string): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}
