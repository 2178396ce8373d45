import { Failure } from "../../core/failure.ts";

/** How many different pieces of work may wait for one thing; more are told to come again. */
const WAITING_LIMIT = 16;
/** How long one waits for its turn, in milliseconds: less than clients wait for an answer. */
const TURN_TIMEOUT_MS = 8_000;

interface Lane {
  /** What is under way or waiting, by what was asked. */
  readonly asked: Map<string, Promise<unknown>>;
  last: Promise<unknown>;
}

/**
 * Work of clients that may go away, and come again with the same: it goes on without them, and who asks the same while it
 * is under way gets its outcome. On one thing there is one piece of work at a time; others wait a little.
 */
export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #timeoutMs: number;

  constructor(timeoutMs: number = TURN_TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param key What it works on.
   * @param asked What is asked, whole but for secrets: equal texts are the same work.
   * @throws {Failure} `aborted` when too many wait, or it waited too long; nothing was done then. What `work` throws.
   */
  run<T>(key: string, asked: string, work: () => Promise<T>): Promise<T> {
    const lane: Lane = this.#lanes.get(key) ?? { asked: new Map(), last: Promise.resolve() };
    const same = lane.asked.get(asked) as Promise<T> | undefined;
    if (same !== undefined) return same;
    if (lane.asked.size >= WAITING_LIMIT) return Promise.reject(busy());
    this.#lanes.set(key, lane);
    const mine = this.#after(lane.last, work).finally(() => {
      lane.asked.delete(asked);
      if (lane.asked.size === 0) this.#lanes.delete(key);
    });
    lane.asked.set(asked, mine);
    // Both: one that gave up waiting must not let the next begin.
    lane.last = Promise.allSettled([lane.last, mine]);
    return mine;
  }

  async #after<T>(turn: Promise<unknown>, work: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(busy()), this.#timeoutMs);
    });
    try {
      await Promise.race([turn, late]);
    } finally {
      clearTimeout(timer);
    }
    return work();
  }
}

function busy(): Failure {
  return new Failure(
    "aborted",
    "Cannot begin: other work on the same volume or snapshot is under way; try again",
  );
}

/** A request as text, for telling equal ones. */
export function inWords(request: object): string {
  return JSON.stringify(request, (_, value: unknown) => {
    if (typeof value === "bigint") return String(value);
    if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
