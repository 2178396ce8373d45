// The thread that owns the database: an fsync that hangs must not stop the event loop of the daemon.
import type { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { Failure, invariant } from "../../core/failure.ts";
import { openDatabase } from "./database.ts";
import { Keeper, keeperFailed } from "./keeper.ts";
import { type Order, type Report, type Start, textOf } from "./message.ts";

invariant(parentPort !== null, "the store's worker is started as a worker");
const port = parentPort;
const { path, durability }: Start = workerData;

function report(message: Report): void {
  port.postMessage(message);
}

function serve(db: DatabaseSync): void {
  const keeper = new Keeper(db, report);
  port.on("message", (order: Order) => {
    if (order.do === "close") {
      db.close();
      report({ kind: "closed" });
      port.close();
      return;
    }
    try {
      keeper.perform(order.calls);
    } catch (thrown) {
      report({ kind: "failed", failure: textOf(keeperFailed(path, thrown)) });
      port.close();
      // Last, because it may take as long as the disk is sick.
      db.close();
    }
  });
}

try {
  serve(openDatabase(path, durability));
} catch (thrown) {
  report({ kind: "refused", failure: textOf(Failure.from(thrown)) });
  port.close();
}
