import type { Clock, UnixMs } from "../core/ports/clock.ts";

/** Says whether the process that a promise belongs to still runs: see {@link SimClock.of}. */
export interface Owner {
  readonly alive: boolean;
}

interface Sleeper {
  readonly wakesAt: number;
  readonly owner: Owner;
  readonly wake: () => void;
}

const MACHINE: Owner = { alive: true };
/** Time goes on when the code under test has made no simulated call for so many microtasks. */
const QUIET_TURNS = 64;
/** {@link SimClock.run} gives up waiting for work that nothing can wake any more after so many microtasks. */
const HUNG_TURNS = 1_000_000;

/** Time that moves only when told to. Equal deadlines wake in the order in which they went to sleep. */
export class SimClock implements Clock {
  #monotonicMs = 0;
  #wallOffsetMs: number;
  /** Soonest last. */
  readonly #sleepers: Sleeper[] = [];
  #calls = 0;

  /** @param startsAt What the wall clock shows at first: 2026-01-01 unless told. */
  constructor(startsAt: UnixMs = 1_767_225_600_000) {
    this.#wallOffsetMs = startsAt;
  }

  now(): UnixMs {
    return Math.floor(this.#wallOffsetMs + this.#monotonicMs);
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return this.#sleep(durationMs, signal, MACHINE);
  }

  /** All that is sent is on its way at once. */
  async turn(): Promise<void> {}

  /** The same time for one process: its sleeps never end once it is dead, and move no time. */
  of(owner: Owner): Clock {
    return {
      now: () => this.now(),
      monotonic: () => this.monotonic(),
      sleep: (durationMs, signal) => this.#sleep(durationMs, signal, owner),
      turn: () => this.turn(),
    };
  }

  /** Steps the wall clock, as an administrator or NTP does; durations do not notice. */
  jump(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Moves time to the next deadline and wakes its sleeper. False when nobody sleeps. */
  tick(): boolean {
    let next = this.#sleepers.pop();
    while (next !== undefined && !next.owner.alive) next = this.#sleepers.pop();
    if (next === undefined) return false;
    this.#monotonicMs = Math.max(this.#monotonicMs, next.wakesAt);
    next.wake();
    return true;
  }

  /** Told of every simulated call: while there are any, time stands still. */
  noteCall(): void {
    this.#calls++;
  }

  /** Lets `durationMs` pass, with everyone who is due on the way woken in turn and given room to go on. */
  async advance(durationMs: number): Promise<void> {
    const until = this.#monotonicMs + Math.ceil(durationMs);
    for (;;) {
      await this.quiet();
      if ((this.#sleepers.at(-1)?.wakesAt ?? Number.POSITIVE_INFINITY) > until) break;
      this.tick();
    }
    this.#monotonicMs = Math.max(this.#monotonicMs, until);
  }

  /** Lets time pass, from deadline to deadline, until `work` has settled, and gives what it gave. */
  async run<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    work.then(settle, settle);
    for (let idle = 0; !settled && idle < HUNG_TURNS; idle += QUIET_TURNS) {
      await this.quiet();
      if (!settled && this.tick()) idle = 0;
    }
    return work;
  }

  /** Resolves when the code under test seems to wait for nothing but time. */
  async quiet(): Promise<void> {
    let seen = this.#calls;
    for (let turn = 0; turn < QUIET_TURNS; turn++) {
      await null;
      if (this.#calls === seen) continue;
      seen = this.#calls;
      turn = 0;
    }
  }

  #sleep(durationMs: number, signal: AbortSignal, owner: Owner): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const abort = (): void => {
        if (!owner.alive) return;
        const at = this.#sleepers.indexOf(sleeper);
        if (at !== -1) this.#sleepers.splice(at, 1);
        reject(signal.reason);
      };
      const sleeper: Sleeper = {
        // Whole milliseconds add up exactly: no sleep ends a rounding error too early.
        wakesAt: this.#monotonicMs + Math.max(0, Math.ceil(durationMs)),
        owner,
        wake: () => {
          signal.removeEventListener("abort", abort);
          resolve();
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#insert(sleeper);
    });
  }

  #insert(sleeper: Sleeper): void {
    let low = 0;
    let high = this.#sleepers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sleepers[middle]?.wakesAt ?? 0) > sleeper.wakesAt) low = middle + 1;
      else high = middle;
    }
    this.#sleepers.splice(low, 0, sleeper);
  }
}
