import type { ServerResponse } from "node:http";
import { Failure } from "../../core/failure.ts";
import type { Event } from "../../core/ports/events.ts";
import type { EventLog } from "../../services/event-log.ts";
import { formatEvent } from "./codec.ts";
import { HEARTBEAT_MS, LISTENER_BUFFER_BYTES, LISTENER_LIMIT } from "./limits.ts";

/** Sends events as they happen (server-sent events; the id is the sequence) to every listener that reads fast enough. */
export class EventStreams {
  readonly #events: EventLog;
  readonly #open = new Set<ServerResponse>();

  constructor(events: EventLog) {
    this.#events = events;
  }

  /** @throws {Failure} `unavailable` when {@link LISTENER_LIMIT} listen already. */
  ensureRoom(): void {
    if (this.#open.size < LISTENER_LIMIT) return;
    throw new Failure(
      "unavailable",
      `Cannot send events: ${LISTENER_LIMIT} clients listen already; end one of them`,
    );
  }

  /**
   * Writes the events after `since` that are still kept, then (with `follow`) every later one until the client goes.
   *
   * @param since Undefined: no past events. Later than the last event: the daemon has started anew since
   * the client listened, and everything is new to it.
   */
  serve(response: ServerResponse, since: number | undefined, follow: boolean): void {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
    });
    const last = this.#events.since(0).at(-1)?.sequence ?? 0;
    const past = since === undefined ? [] : this.#events.since(since > last ? 0 : since);
    response.write(": events of this run of the daemon\n\n");
    for (const event of past) response.write(formatServerSent(event));
    if (!follow) {
      response.end();
      return;
    }
    this.#open.add(response);
    const send = (text: string): void => {
      response.write(text);
      // What cannot be sent waits in memory: a listener that does not read must not fill ours.
      if (response.writableLength > LISTENER_BUFFER_BYTES) response.destroy();
    };
    const stop = this.#events.listen((event) => send(formatServerSent(event)));
    const heartbeat = setInterval(() => send(": alive\n\n"), HEARTBEAT_MS);
    response.on("error", () => response.destroy());
    response.once("close", () => {
      stop();
      clearInterval(heartbeat);
      this.#open.delete(response);
    });
  }

  /** Ends every stream, so that a daemon that stops is not held up; clients come again. */
  close(): void {
    for (const response of this.#open) response.end();
  }
}

function formatServerSent(event: Event): string {
  const data = JSON.stringify(formatEvent(event));
  return `id: ${event.sequence}\nevent: ${event.type}\ndata: ${data}\n\n`;
}
