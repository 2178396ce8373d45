import type { Clock } from "../core/ports/clock.ts";
import type { Event } from "../core/ports/events.ts";
import type { Log } from "../core/ports/log.ts";

/** How many past events a listener can still ask for, at least. */
export const EVENT_HISTORY_LIMIT = 1_000;

type Listener = (event: Event) => void;

/** What happened since the daemon started: its last events and those who listen. */
export class EventLog {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();
  #events: Event[] = [];
  #sequence = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Adds an event and tells every listener; a warning goes to the log as well. */
  emit(event: Omit<Event, "sequence" | "at">): void {
    const whole: Event = { sequence: ++this.#sequence, at: this.#clock.now(), ...event };
    this.#events.push(whole);
    if (this.#events.length > 2 * EVENT_HISTORY_LIMIT) {
      this.#events = this.#events.slice(-EVENT_HISTORY_LIMIT);
    }
    if (event.level === "warning") {
      this.#log.warn(event.message, { event: event.type, subject: event.subject });
    }
    for (const listener of this.#listeners) listener(whole);
  }

  /** Events after `sequence` that are still kept, oldest first. */
  since(sequence: number): readonly Event[] {
    return this.#events.filter((event) => event.sequence > sequence);
  }

  /** Calls `listener` with every later event until the returned function is called. A listener must not throw. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
