import { Failure, type FailureCode } from "../../src/core/failure.ts";
import type { SimClock } from "../../src/sim/clock.ts";
import { never } from "../../src/sim/incarnation.ts";
import type { SimRandom } from "../../src/sim/random.ts";
import type { Plan } from "./plan.ts";

type Method = (...args: readonly unknown[]) => unknown;

const STORE_CODES: readonly FailureCode[] = ["unavailable", "unknown"];
const DISK_CODES: readonly FailureCode[] = ["data_loss", "resource_exhausted", "unavailable"];
/** Never fail and take no time. */
const FREE: ReadonlySet<string> = new Set(["constructor", "watch", "close"]);

/** One run of the daemon, from its start to its crash. */
export class Life {
  alive = true;
  calls = 0;
  /** The call at which it crashes, and whether before or after the effect; 0: none. */
  crashAtCall = 0;
  crashAfter = false;
}

/** Makes port calls slow, wrong, or the last ones; counts them, and mixes them into the trace. */
export class Chaos {
  on = true;
  calls = 0;
  hash = 0;
  readonly #clock: SimClock;
  /** Of this schedule alone: sleepers that it leaves behind hang on its signal, and go with it. */
  readonly #forever: AbortSignal = new AbortController().signal;
  readonly #random: SimRandom;
  readonly #plan: Plan;
  readonly #crash: (life: Life) => void;

  /** @param crash Ends the life: `kill -9`. */
  constructor(clock: SimClock, random: SimRandom, plan: Plan, crash: (life: Life) => void) {
    this.#clock = clock;
    this.#random = random;
    this.#plan = plan;
    this.#crash = crash;
  }

  /** Mixes a number into the trace. */
  mix(value: number): void {
    this.hash = (Math.imul(this.hash ^ value, 0x01000193) + (value >>> 7)) | 0;
  }

  /** @param done Told after each call that had its effect. */
  wrap<P extends object>(
    life: Life,
    port: P,
    kind: "store" | "disk",
    done: () => void = () => {},
  ): P {
    const wrapped: Record<string, Method> = {};
    for (const [name, mark] of methodsOf(Object.getPrototypeOf(port))) {
      const member: unknown = Reflect.get(port, name);
      if (typeof member !== "function") continue;
      // A bound method has the type of any function: it is called as its port declares it.
      const bound = member.bind(port) as Method;
      const codes = kind === "store" ? STORE_CODES : DISK_CODES;
      wrapped[name] = FREE.has(name)
        ? bound
        : (...args) => this.#call(life, mark, codes, () => bound(...args), done);
    }
    return wrapped as P;
  }

  async #call(
    life: Life,
    mark: number,
    codes: readonly FailureCode[],
    effect: () => unknown,
    done: () => void,
  ): Promise<unknown> {
    this.calls++;
    this.#clock.noteCall();
    if (!life.alive) return never();
    if (this.on) await this.#dawdle();
    if (!life.alive) return never();
    const last = ++life.calls === life.crashAtCall;
    this.mix(mark ^ this.#clock.monotonic());
    if (last && !life.crashAfter) return this.#end(life);
    const wrong = this.on && this.#random.below(10_000) < this.#plan.errorsPer10k;
    const before = wrong && this.#random.below(2) === 0;
    if (before) throw this.#failure(codes);
    try {
      const result = await effect();
      done();
      if (last) return this.#end(life);
      if (this.on) await this.#dawdle();
      if (!life.alive) return never();
      if (wrong) throw this.#failure(codes);
      return result;
    } catch (thrown) {
      if (!life.alive) return never();
      this.mix(13);
      throw thrown;
    }
  }

  #end(life: Life): Promise<never> {
    if (life.alive) this.#crash(life);
    return never();
  }

  /** Most calls take no time; of the slow ones most take little, and a few half a minute and more. */
  async #dawdle(): Promise<void> {
    if (this.#random.below(10_000) >= this.#plan.slowPer10k) return;
    const tail = this.#random.below(100);
    const mostMs = tail < 70 ? 20 : tail < 95 ? 1_000 : 45_000;
    await this.#clock.sleep(1 + this.#random.below(mostMs), this.#forever);
  }

  #failure(codes: readonly FailureCode[]): Failure {
    const code = codes[this.#random.below(codes.length)] ?? "unknown";
    return new Failure(code, `Injected: ${code}`);
  }
}

/** Names of a class's methods, each with a number for the trace; found once for each class. */
const METHODS = new Map<object, readonly (readonly [string, number])[]>();

function methodsOf(prototype: object): readonly (readonly [string, number])[] {
  const known = METHODS.get(prototype);
  if (known !== undefined) return known;
  const found = Object.getOwnPropertyNames(prototype).map((name) => {
    let mark = 7;
    for (let at = 0; at < name.length; at++) mark = (mark * 31 + name.charCodeAt(at)) | 0;
    return [name, mark] as const;
  });
  METHODS.set(prototype, found);
  return found;
}
