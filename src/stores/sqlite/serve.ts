import type { DatabaseSync } from "node:sqlite";
import { Failure } from "../../core/failure.ts";
import { openDatabase } from "./database.ts";
import { Keeper, keeperFailed } from "./keeper.ts";
import { Mark } from "./mark.ts";
import { type Order, type Report, type Start, textOf } from "./message.ts";
import { WriteAhead } from "./write-ahead.ts";

/** The way back from where the database is. */
export interface ServeLine {
  readonly report: (message: Report) => void;
  /** Nothing more is reported, and no order is taken. */
  readonly end: () => void;
}

/** Opens the database and reports what it found. Returns what carries out each order, reporting what comes of it. */
export function serve({ path, durability }: Start, line: ServeLine): (order: Order) => void {
  let db: DatabaseSync | undefined;
  let log: WriteAhead | undefined;
  let keeper: Keeper;
  try {
    db = openDatabase(path, durability);
    // What is for now only, as on a file system in memory, is never copied back, and has no log worth waiting for.
    if (durability === "power-cut") log = new WriteAhead(path);
    keeper = new Keeper(
      db,
      line.report,
      log && { mark: new Mark(path), log, failed: (thrown) => fail(thrown) },
    );
  } catch (thrown) {
    log?.close();
    if (db?.isOpen) db.close();
    line.report({ kind: "refused", failure: textOf(Failure.from(thrown)) });
    line.end();
    return () => undefined;
  }
  const open = db;
  let ended = false;
  const fail = (thrown: unknown): void => {
    ended = true;
    line.report({ kind: "failed", failure: textOf(keeperFailed(path, thrown)) });
    line.end();
    // Last, because it may take as long as the disk is sick.
    log?.close();
    open.close();
  };
  return (order) => {
    // An order may have been on its way when a sync beside the work failed.
    if (ended) return;
    if (order.do === "close") {
      // Closing makes everything durable.
      log?.close();
      open.close();
      line.report({ kind: "closed" });
      line.end();
      return;
    }
    try {
      keeper.perform(order.calls);
    } catch (thrown) {
      fail(thrown);
    }
  };
}
