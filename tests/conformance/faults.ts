import { Failure } from "../../src/core/failure.ts";

/**
 * How a call goes wrong: `before`: not done; `after`: done and not told; `outage`: nothing works from then on, until it
 * does again; `crash`: our process dies; `power`: so does the machine.
 */
export const FAULT_MODES = ["before", "after", "outage", "crash", "power"] as const;
export type FaultMode = (typeof FAULT_MODES)[number];

/** Counts the calls of several ports together, and makes one of them go wrong. */
export class Faults {
  #armed: { readonly nth: number; readonly mode: FaultMode } | undefined;
  #calls = 0;
  fired = false;

  /** The `nth` call from now, counted from 1, goes wrong. */
  arm(nth: number, mode: FaultMode): void {
    this.#armed = { nth, mode };
    this.#calls = 0;
    this.fired = false;
  }

  /** Everything goes well from now. */
  disarm(): void {
    this.#armed = undefined;
  }

  /** A port whose calls are counted. */
  wrap<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]) => {
          const call = ++this.#calls;
          const { nth, mode } = this.#armed ?? { nth: 0, mode: "before" };
          const once = mode === "before" || mode === "after";
          const hit = this.#armed !== undefined && (once ? call === nth : call >= nth);
          this.fired ||= hit;
          const failure = new Failure("unknown", `Injected at call ${call}, ${String(key)}`);
          if (hit && mode !== "after") throw failure;
          const result: unknown = await member.apply(target, args);
          if (hit) throw failure;
          return result;
        };
      },
    });
  }
}
