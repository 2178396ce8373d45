import { EventEmitter } from "node:events";
import type { Order, Report, Start } from "./message.ts";
import { serve } from "./serve.ts";

/** What a {@link Line} needs of the place where the database is worked on: a thread, or a {@link Desk}. */
export interface Keeping {
  postMessage(order: Order): void;
  on(event: "message", hear: (report: Report) => void): unknown;
  on(event: "error", hear: (thrown: unknown) => void): unknown;
  on(event: "exit", hear: () => void): unknown;
  once(event: "message", hear: (report: Report) => void): unknown;
  once(event: "error", hear: (thrown: unknown) => void): unknown;
  once(event: "exit", hear: () => void): unknown;
}

/**
 * Works on the database in the caller's own thread, with the words of a worker thread. For a database in memory, whose
 * every access takes microseconds: a thread would cost more in time than the access, and some megabytes.
 */
export class Desk extends EventEmitter implements Keeping {
  #perform: ((order: Order) => void) | undefined;

  /** Opens at the next turn of the event loop, so that whoever listens from now on hears everything. */
  constructor(start: Start) {
    super();
    setImmediate(() => {
      this.#perform = serve(start, {
        report: (message) => this.emit("message", message),
        end: () => {
          this.#perform = undefined;
          setImmediate(() => this.emit("exit"));
        },
      });
    });
  }

  postMessage(order: Order): void {
    this.#perform?.(order);
  }
}
