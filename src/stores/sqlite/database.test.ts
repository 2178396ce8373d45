import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openDatabase } from "./database.ts";
import { MIGRATIONS } from "./schema.ts";

const NEXT = [...MIGRATIONS, "ALTER TABLE leases ADD COLUMN holder TEXT"];

let directory = "";
let path = "";
const opened: DatabaseSync[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lagan-database-"));
  path = join(directory, "lagan.db");
});
afterEach(() => {
  for (const db of opened.splice(0)) if (db.isOpen) db.close();
  rmSync(directory, { recursive: true });
});

function open(migrations = MIGRATIONS): DatabaseSync {
  const db = openDatabase(path, "power-cut", migrations);
  opened.push(db);
  return db;
}

/** A database with one lease of 7 ms, closed. */
function written(migrations = MIGRATIONS): void {
  const db = open(migrations);
  db.exec("INSERT INTO leases (ttl_ms) VALUES (7)");
  db.close();
}

/** Every file of the directory with its bytes and its time of change. */
function contents(): unknown {
  return readdirSync(directory).map((name) => {
    const file = join(directory, name);
    return { name, bytes: readFileSync(file, "hex"), changedMs: statSync(file).mtimeMs };
  });
}

it("a new file is for its owner alone, and keeps what a power cut must not take", () => {
  const db = open();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  db.exec("INSERT INTO leases (ttl_ms) VALUES (7)");
  const pragmas = ["journal_mode", "synchronous", "foreign_keys", "trusted_schema", "locking_mode"];
  const set = pragmas.map((name) => db.prepare(`PRAGMA ${name}`).get()?.[name]);
  expect(set).toEqual(["wal", 1, 1, 0, "exclusive"]);
  expect(readdirSync(directory).sort()).toEqual(["lagan.db", "lagan.db-wal"]);
});

it("a file that is in use is refused, by the same process too", () => {
  const db = open();
  expect(() => open()).toThrow(expect.objectContaining({ code: "failed_precondition" }));
  expect(() => open()).toThrow(/another process has it open/);
  db.exec("INSERT INTO leases (ttl_ms) VALUES (7)");
  db.close();
  expect(open().prepare("SELECT ttl_ms FROM leases").all()).toMatchObject([{ ttl_ms: 7 }]);
});

it("a newer schema is refused, naming both versions, and nothing is touched", () => {
  written(NEXT);
  const before = contents();
  expect(() => open()).toThrow(expect.objectContaining({ code: "failed_precondition" }));
  expect(() => open()).toThrow(
    new RegExp(`version ${NEXT.length}.* versions up to ${MIGRATIONS.length}`),
  );
  expect(contents()).toEqual(before);
});

it("a newer schema is refused also when its writer was killed", () => {
  written();
  const db = open(NEXT);
  db.exec("INSERT INTO leases (ttl_ms) VALUES (8)");
  // What a kill leaves: both files as they are now.
  for (const suffix of ["", "-wal"]) {
    writeFileSync(join(directory, `left${suffix}`), readFileSync(`${path}${suffix}`));
  }
  path = join(directory, "left");
  const before = contents();
  expect(() => open()).toThrow(/version 2/);
  expect(contents()).toEqual(before);
  expect(open(NEXT).prepare("SELECT ttl_ms FROM leases").all()).toHaveLength(2);
});

it("an older schema is brought up, and a copy of what it was stays", () => {
  written();
  const db = open(NEXT);
  expect(db.prepare("SELECT ttl_ms, holder FROM leases").all()).toMatchObject([
    { ttl_ms: 7, holder: null },
  ]);
  db.close();
  expect(readdirSync(directory).sort()).toEqual(["lagan.db", "lagan.db.v1.backup"]);
  path = join(directory, "lagan.db.v1.backup");
  expect(open().prepare("SELECT * FROM leases").all()).toMatchObject([{ id: 1, ttl_ms: 7 }]);
});

it("a migration that fails leaves the version that was", () => {
  written();
  writeFileSync(`${path}.v1.backup.partial`, "left by a crash");
  expect(() => open([...NEXT, "ALTER TABLE none ADD COLUMN x"])).toThrow(/no such table/);
  expect(open().prepare("SELECT * FROM leases").all()).toMatchObject([{ id: 1, ttl_ms: 7 }]);
});

it("a file of another program is refused and not touched", () => {
  const others = [
    "PRAGMA application_id = 5; CREATE TABLE t (x)",
    "PRAGMA user_version = 1",
    "CREATE TABLE t (x)",
    "PRAGMA journal_mode = WAL; CREATE TABLE t (x)",
  ];
  for (const sql of others) {
    const other = new DatabaseSync(path);
    other.exec(sql);
    other.close();
    const before = contents();
    expect(() => open()).toThrow(/of another program/);
    expect(contents()).toEqual(before);
    rmSync(path);
  }
});

it("a damaged file is refused with data_loss, named, and not touched", () => {
  const db = open();
  for (let n = 0; n < 1_000; n++) db.exec(`INSERT INTO leases (ttl_ms) VALUES (${n})`);
  db.close();
  const good = readFileSync(path);
  const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    "a page overwritten": (bytes) => bytes.fill(0x5a, 4_096 * 3, 4_096 * 4),
    "the header overwritten": (bytes) => bytes.fill(0x5a, 0, 100),
    "cut short": (bytes) => bytes.subarray(0, bytes.length - 4_096),
  };
  for (const [what, damage] of Object.entries(damages)) {
    writeFileSync(path, damage(Buffer.from(good)));
    const before = contents();
    const attempt = (): unknown => open();
    expect(attempt, what).toThrow(expect.objectContaining({ code: "data_loss" }));
    expect(attempt, what).toThrow(path);
    expect(contents(), what).toEqual(before);
  }
  writeFileSync(path, good);
  expect(open().prepare("SELECT count(*) AS n FROM leases").get()).toMatchObject({ n: 1_000 });
});

it("an empty file and one that was killed right after it was made are new", () => {
  writeFileSync(path, "");
  open().close();
  rmSync(path);
  const unfinished = new DatabaseSync(path);
  unfinished.exec("PRAGMA journal_mode = WAL");
  unfinished.close();
  written();
});

it("a directory that is not there is said to be so", () => {
  path = join(directory, "none", "lagan.db");
  expect(() => open()).toThrow(expect.objectContaining({ code: "failed_precondition" }));
  expect(existsSync(join(directory, "none"))).toBe(false);
});
