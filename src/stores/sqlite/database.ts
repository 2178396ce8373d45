import { accessSync, closeSync, constants, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { Failure } from "../../core/failure.ts";
import { checkHeader, checkTables, headerOf, MIGRATIONS, migrate, syncPath } from "./schema.ts";
import { openingFailure } from "./sqlite-error.ts";

/**
 * What an acknowledged write survives: `power-cut` is everything, when a `WriteAhead` is synced before the acknowledgement;
 * `process` is `kill -9`, for a database on a file system in memory, which is worked on in the caller's thread.
 */
export type Durability = "power-cut" | "process";

const SYNCHRONOUS: Readonly<Record<Durability, string>> = { "power-cut": "NORMAL", process: "OFF" };

/**
 * Opens the database, made when absent, for this process alone: nobody else can open it until it is closed or the
 * process dies. It is checked for damage and brought to the newest schema. Its directory must exist.
 *
 * Never open the file in another way meanwhile: closing any descriptor of it drops this process's lock
 * (https://www.sqlite.org/howtocorrupt.html, section 2.2).
 *
 * @throws {Failure} `failed_precondition` when it is in use, another program's, or newer than `migrations`;
 * `data_loss` when it is damaged; `resource_exhausted` on a full file system.
 */
export function openDatabase(
  path: string,
  durability: Durability,
  migrations: readonly string[] = MIGRATIONS,
): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    ensureFile(path);
    peek(path, migrations.length);
    db = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 0 });
    // Exclusive from the first access on: so WAL keeps its index in our own memory, without a -shm file.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF");
    // Again, for what the peek could not see: the WAL, and whether somebody has it open.
    checkHeader(path, headerOf(db), migrations.length);
    checkTables(path, db);
    checkDamage(path, db);
    configure(path, db, durability);
    // The next peek must see the new version: it does not look into the WAL.
    if (migrate(path, db, migrations)) db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return db;
  } catch (thrown) {
    const failure = openingFailure(path, thrown);
    if (db?.isOpen) db.close();
    throw failure;
  }
}

/** SQLite would make the file readable for all, and would not make its name durable. */
function ensureFile(path: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(path, "wx", 0o600);
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST") {
      ensureWritable(path);
      return;
    }
    throw new Failure("failed_precondition", `Cannot make the store ${path}: ${String(thrown)}`, {
      cause: thrown,
    });
  }
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  syncPath(dirname(path));
}

/** SQLite would tell of an I/O error, as if the disk were broken. */
function ensureWritable(path: string): void {
  try {
    accessSync(path, constants.W_OK);
  } catch (cause) {
    const readOnly = cause instanceof Error && "code" in cause && cause.code === "EROFS";
    const why = readOnly
      ? "its file system is read-only; see dmesg for why, repair it, then mount it to be written again"
      : String(cause);
    throw new Failure("failed_precondition", `Cannot open the store ${path}: ${why}`, { cause });
  }
}

/** Reads the header alone, without a lock and without touching anything: opening for real already recovers the WAL. */
function peek(path: string, known: number): void {
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(url, { readOnly: true });
    checkHeader(path, headerOf(db), known);
  } catch (thrown) {
    // Whatever else is wrong with it is for the real opening to say.
    if (thrown instanceof Failure) throw thrown;
  } finally {
    if (db?.isOpen) db.close();
  }
}

function checkDamage(path: string, db: DatabaseSync): void {
  const found = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
  if (found === "ok") return;
  const damage = Object.assign(new Error(String(found)), { errcode: 11 });
  throw openingFailure(path, damage);
}

function configure(path: string, db: DatabaseSync, durability: Durability): void {
  const mode = db.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"];
  if (mode !== "wal") {
    throw new Failure(
      "failed_precondition",
      `Cannot open the store ${path}: SQLite keeps no write-ahead log there (${String(mode)}); choose a local file system`,
    );
  }
  db.exec(`PRAGMA synchronous = ${SYNCHRONOUS[durability]}`);
  // The worker makes the checkpoints itself, between answers. 2 MiB of cache. A WAL that a burst has grown shrinks again.
  db.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -2048");
  db.exec("PRAGMA journal_size_limit = 16777216");
}
