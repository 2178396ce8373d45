// The thread that owns the database: an fsync that hangs must not stop the event loop of the daemon.
import { flushCompileCache } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { invariant } from "../../core/failure.ts";
import type { Order, Start } from "./message.ts";
import { serve } from "./serve.ts";

invariant(parentPort !== null, "the store's worker is started as a worker");
const port = parentPort;
const perform = serve(workerData as Start, {
  report: (message) => port.postMessage(message),
  end: () => port.close(),
});
port.on("message", (order: Order) => perform(order));
flushCompileCache();
