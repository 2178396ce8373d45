import type { Clock } from "../ports/clock.ts";

/** Between two tries to record the end of a lease, when the store could not write it. */
const RETRY_MS = 1_000;

interface LeaseTime {
  readonly ttlMs: number;
  /** On the monotonic clock. */
  endsAtMs: number;
}

/**
 * When a store's leases end. A lease that is past its time cannot be renewed, and is ended by whoever looks next:
 * a call, or the sleeper that waits for the soonest one. One whose end could not be recorded stays due.
 */
export class LeaseTimes {
  readonly #clock: Clock;
  readonly #end: (lease: number) => Promise<void>;
  readonly #times = new Map<number, LeaseTime>();
  #sleeper: { readonly stop: AbortController; readonly wakesAtMs: number } | undefined;
  #stopped = false;

  /** @param end Removes a lease with its keys, for good; ended already is success. */
  constructor(clock: Clock, end: (lease: number) => Promise<void>) {
    this.#clock = clock;
    this.#end = end;
  }

  /** Gives a new lease, or one found at start, its full time. */
  start(lease: number, ttlMs: number): void {
    this.#times.set(lease, { ttlMs, endsAtMs: this.#clock.monotonic() + ttlMs });
    this.#schedule();
  }

  /** Gives the lease its full time again; false when it has ended. */
  renew(lease: number): boolean {
    const time = this.#times.get(lease);
    const nowMs = this.#clock.monotonic();
    if (time === undefined || time.endsAtMs <= nowMs) return false;
    time.endsAtMs = nowMs + time.ttlMs;
    return true;
  }

  /** Ends a lease before its time. */
  async revoke(lease: number): Promise<void> {
    const time = this.#times.get(lease);
    if (time !== undefined) time.endsAtMs = Math.min(time.endsAtMs, this.#clock.monotonic());
    await this.#end(lease);
    this.#forget(lease);
  }

  /** True when a lease is past its time and not yet ended: then call {@link endDue} before answering. */
  hasDue(): boolean {
    const nowMs = this.#clock.monotonic();
    for (const time of this.#times.values()) if (time.endsAtMs <= nowMs) return true;
    return false;
  }

  /** Ends every lease that is past its time, the earliest first. Never rejects: what fails stays due. */
  async endDue(): Promise<void> {
    const nowMs = this.#clock.monotonic();
    const due = [...this.#times].filter(([, time]) => time.endsAtMs <= nowMs);
    due.sort(([a, { endsAtMs: first }], [b, { endsAtMs: second }]) => first - second || a - b);
    for (const [lease] of due) {
      await this.#end(lease).then(
        () => this.#forget(lease),
        () => {},
      );
    }
  }

  /** Lets go of the clock; nothing ends by itself any more. */
  stop(): void {
    this.#stopped = true;
    this.#sleeper?.stop.abort();
  }

  #forget(lease: number): void {
    this.#times.delete(lease);
    if (this.#times.size > 0) return;
    this.#sleeper?.stop.abort();
    this.#sleeper = undefined;
  }

  #schedule(earliestMs = 0): void {
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const { endsAtMs } of this.#times.values()) soonestMs = Math.min(soonestMs, endsAtMs);
    const wakesAtMs = Math.max(soonestMs, earliestMs);
    const sleepsLongEnough = this.#sleeper !== undefined && this.#sleeper.wakesAtMs <= wakesAtMs;
    if (this.#stopped || wakesAtMs === Number.POSITIVE_INFINITY || sleepsLongEnough) return;
    this.#sleeper?.stop.abort();
    const sleeper = { stop: new AbortController(), wakesAtMs };
    this.#sleeper = sleeper;
    const durationMs = Math.max(0, wakesAtMs - this.#clock.monotonic());
    this.#clock.sleep(durationMs, sleeper.stop.signal).then(
      async () => {
        await this.endDue();
        if (this.#sleeper !== sleeper) return;
        this.#sleeper = undefined;
        this.#schedule(this.hasDue() ? this.#clock.monotonic() + RETRY_MS : 0);
      },
      // Only our own abort ends the sleep: somebody else looks after the leases by then.
      () => {},
    );
  }
}
