import { Failure } from "../core/failure.ts";
import { never } from "./incarnation.ts";

/**
 * What happens at the chosen call: `before` and `after`: it fails, without or with its effect.
 * `crash-before` and `crash-after`: the process is gone, without or with its effect; nothing resolves from then on.
 */
export type FaultTime = "before" | "after" | "crash-before" | "crash-after";

/** Ports with a fault in them, and what became of it. */
export interface Failing<P> {
  readonly ports: P;
  /** How many calls have been made so far. When it stays below the chosen one, the fault did not happen. */
  calls(): number;
  /** The call that was hit, as `files.writeText`; undefined when none was. */
  hit(): string | undefined;
  /** Resolves at a crash: what the code under test never does then. */
  readonly crashed: Promise<void>;
}

/** Methods that answer at once or give what is no promise: they cannot fail, and are not counted. */
const NOT_COUNTED: ReadonlySet<string> = new Set([
  "now",
  "monotonic",
  "bytes",
  "below",
  "facts",
  "isUnchanged",
  "watch",
  "debug",
  "info",
  "warn",
  "error",
]);
/** Waiting is no effect: it does not fail, but ends with the process. */
const WAITS = "sleep";

type Method = (...args: readonly unknown[]) => unknown;

/**
 * Wraps ports so that the `nth` call (from 1), counted over all of them together, goes wrong.
 *
 * A test that fails at every call starts with 1 and goes on until `hit()` is undefined.
 * @param failure What the call rejects with: `unavailable` unless told.
 */
export function failingAt<P extends Readonly<Record<string, object>>>(
  ports: P,
  nth: number,
  when: FaultTime,
  failure: Failure = new Failure("unavailable", `Injected at call ${nth}`),
): Failing<P> {
  let calls = 0;
  let hit: string | undefined;
  let dead = false;
  let tell: () => void = () => {};
  const crashed = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const crash = (): Promise<never> => {
    dead = true;
    tell();
    return never();
  };

  const call = async (name: string, counts: boolean, effect: () => unknown): Promise<unknown> => {
    if (dead) return never();
    const chosen = counts && ++calls === nth;
    if (chosen) {
      hit = name;
      if (when === "before") throw failure;
      if (when === "crash-before") return crash();
    }
    try {
      const result = await effect();
      if (chosen && when === "after") throw failure;
      return chosen || dead ? ended(result) : result;
    } catch (error) {
      if (dead || (chosen && when === "crash-after")) return ended(undefined);
      throw error;
    }
  };
  const ended = (result: unknown): unknown => {
    if (dead) return never();
    return when === "crash-after" ? crash() : result;
  };

  const wrapped = Object.entries(ports).map(([name, port]) => [name, wrap(name, port, call)]);
  return {
    ports: Object.fromEntries(wrapped) as P,
    calls: () => calls,
    hit: () => hit,
    crashed,
  };
}

function wrap(
  portName: string,
  port: object,
  call: (name: string, counts: boolean, effect: () => unknown) => Promise<unknown>,
): object {
  const methods = new Map<string | symbol, Method>();
  return new Proxy(port, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key);
      if (typeof member !== "function") return member;
      const known = methods.get(key);
      if (known !== undefined) return known;
      const name = String(key);
      // A bound method has the type of any function: it is called as its port declares it.
      const bound = member.bind(target) as Method;
      const method: Method = NOT_COUNTED.has(name)
        ? bound
        : (...args) => call(`${portName}.${name}`, name !== WAITS, () => bound(...args));
      methods.set(key, method);
      return method;
    },
  });
}
