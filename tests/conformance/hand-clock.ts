import type { Clock } from "../../src/core/ports/clock.ts";

/** Time that a test moves by hand. */
export class HandClock implements Clock {
  #ms = 0;
  readonly #sleepers = new Set<{ readonly wakesAtMs: number; readonly wake: () => void }>();

  now(): number {
    return this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  /** How many sleep: none once everything on this clock has been stopped. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const sleeper = {
        wakesAtMs: this.#ms + durationMs,
        wake: () => {
          this.#sleepers.delete(sleeper);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }

  async turn(): Promise<void> {}

  /** Moves time and wakes whoever is due, the soonest first. */
  advance(durationMs: number): void {
    this.#ms += durationMs;
    const due = [...this.#sleepers].filter(({ wakesAtMs }) => wakesAtMs <= this.#ms);
    for (const { wake } of due.sort((a, b) => a.wakesAtMs - b.wakesAtMs)) wake();
  }
}
