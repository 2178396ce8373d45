import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openDatabase } from "./database.ts";
import { Keeper } from "./keeper.ts";
import { Mark } from "./mark.ts";
import type { Call, Report } from "./message.ts";

let directory = "";
let path = "";
let db: DatabaseSync;
/** What happened, in order. */
let told: string[] = [];
let endSync: (thrown: unknown) => void = () => undefined;
let keeper: Keeper;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lagan-keeper-"));
  path = join(directory, "lagan.db");
  db = openDatabase(path, "power-cut");
  told = [];
  const log = {
    sync: () => {
      told.push("sync");
    },
    syncSoon: (synced: (thrown: unknown) => void) => {
      told.push("soon");
      endSync = synced;
    },
  };
  const failed = (thrown: unknown): void => {
    told.push(`failed ${String(thrown)}`);
  };
  keeper = new Keeper(db, report, { mark: new Mark(path), log, failed });
});
afterEach(() => {
  db.close();
  rmSync(directory, { recursive: true });
});

function report(message: Report): void {
  if (message.kind !== "answers") return;
  const answered = message.answers.map(({ at }) => at);
  told.push(`answers ${answered.join(",")} of ${message.revision}${message.done ? ", done" : ""}`);
}

function txn(key: string, durable?: "now" | "soon"): Call {
  return { do: "txn", compares: [], writes: [{ do: "put", key, value: "1" }], how: { durable } };
}

function seen(): number {
  return Number(readFileSync(`${path}.seen`, "latin1"));
}

it("a change is answered after its sync, one that is durable soon before it", () => {
  keeper.perform([txn("a")]);
  keeper.perform([txn("b", "soon")]);
  expect(told).toEqual(["sync", "answers 0 of 1, done", "soon", "answers 0 of 2, done"]);
});

it("what is durable soon waits for nothing else of its batch", () => {
  keeper.perform([txn("a"), { do: "get", key: "a" }, txn("b", "soon"), txn("c", "now")]);
  expect(told).toEqual([
    ...["answers 1 of 0", "soon", "answers 2 of 1"],
    ...["sync", "answers 0,3 of 3, done"],
  ]);
});

it("a revision is noted as seen when it is durable, not before", () => {
  keeper.perform([txn("a")]);
  keeper.perform([txn("b", "soon")]);
  expect(seen()).toBe(1);
  endSync(null);
  expect(seen()).toBe(2);
});

it("a sync that fails after the answer is the store's end", () => {
  keeper.perform([txn("a")]);
  keeper.perform([txn("b", "soon")]);
  endSync(new Error("EIO"));
  expect(told.at(-1)).toBe("failed Error: EIO");
  expect(seen()).toBe(1);
});
