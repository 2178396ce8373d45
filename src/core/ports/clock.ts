/** Milliseconds since the Unix epoch. */
export type UnixMs = number;

/**
 * Time. Held by `tests/conformance/clock.ts`.
 */
export interface Clock {
  /** Wall-clock time. May jump backwards; use only for what people read. */
  now(): UnixMs;
  /**
   * 1. Milliseconds that never go back, from a start that is the same for every process until the machine restarts.
   * For durations and deadlines.
   */
  monotonic(): number;
  /**
   * 2. Resolves no earlier than `durationMs` of monotonic time from now.
   * 3. Rejects with `signal.reason` as soon as the signal aborts, also when it already has.
   */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
  /** 4. Resolves when what this turn of the event loop sends is on its way: an answer goes before what nobody waits for. */
  turn(): Promise<void>;
}
