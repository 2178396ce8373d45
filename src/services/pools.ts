import { Failure } from "../core/failure.ts";
import type { PoolName } from "../core/name.ts";
import type { PoolRecord, PoolSpec } from "../core/pool/pool.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type {
  DriverFacts,
  DriverTraits,
  PoolHealth,
  PoolSpace,
  StorageDriver,
} from "../core/ports/storage-driver.ts";
import { boundedDriver } from "./bounded-driver.ts";
import type { EventLog } from "./event-log.ts";
import { orderedDriver } from "./ordered-driver.ts";
import { putPool, type Records } from "./records.ts";

/** How long the daemon waits for a pool at its start before it goes on without it, in milliseconds. */
export const POOL_OPEN_TIMEOUT_MS = 30_000;
/**
 * How long a pool that serves may go without an answer before it is faulted, in milliseconds. A disk under load can
 * be slow for a while, and a container that is refused then is not started again by its engine.
 */
export const POOL_SILENCE_LIMIT_MS = 30_000;
/** How long one look at a pool waits for its answer, in milliseconds. */
export const POOL_ANSWER_TIMEOUT_MS = 5_000;

/** Most calls on one pool at once; less than half of the daemon's threads, which all pools share. */
const POOL_CALLS_LIMIT = 6;

/** How pools come to be: supplied by the wiring. */
export interface PoolMaker {
  /** Looks at the machine and says which driver suits a pool of `spec`, and why; `auto` is resolved here. */
  choose(spec: PoolSpec): Promise<Pick<PoolRecord, "driver" | "options" | "why">>;
  /** @throws {Failure} `invalid_argument` for an unknown driver or option. */
  build(pool: PoolRecord): StorageDriver;
}

/** A pool as people see it. */
export interface PoolStatus {
  readonly pool: PoolRecord;
  readonly health: PoolHealth;
  readonly traits: DriverTraits;
  readonly facts: DriverFacts;
  /** Null while the pool is faulted. */
  readonly space: PoolSpace | null;
}

interface OpenPool {
  record: PoolRecord;
  readonly driver: StorageDriver;
  health: PoolHealth;
  /** The open that is under way, so that a slow one is never begun twice. */
  opening: Promise<void> | undefined;
  /** The look at its health that is under way, likewise. */
  looking: Promise<PoolHealth> | undefined;
  /** When it began, on the monotonic clock. */
  lookedAt: number;
}

/** What {@link Pools} works with. */
interface PoolsParts {
  readonly records: Records;
  readonly maker: PoolMaker;
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
}

/** The node's pools. One that is faulted never holds up the others. */
export class Pools {
  readonly #parts: PoolsParts;
  readonly #open = new Map<PoolName, OpenPool>();
  #ensuring: Promise<unknown> = Promise.resolve();

  constructor(parts: PoolsParts) {
    this.#parts = parts;
  }

  /**
   * Brings up every pool that was ever made and every one that `specs` asks for. A pool that cannot be
   * brought up, or not within {@link POOL_OPEN_TIMEOUT_MS}, is faulted and tried again by {@link refresh}.
   *
   * @throws {Failure} `failed_precondition` when `specs` asks for another driver than a pool was made with.
   */
  async openAll(specs: readonly PoolSpec[], signal: AbortSignal): Promise<void> {
    const { records } = this.#parts;
    const known = new Map((await records.listPools()).map((pool) => [pool.name, pool]));
    for (const spec of specs) {
      const record = known.get(spec.name);
      if (record === undefined) known.set(spec.name, await this.#record(spec));
      else ensureSameDriver(record, spec);
    }
    for (const record of known.values()) this.#add(record);
    await Promise.all([...this.#open.values()].map((pool) => this.#bringUp(pool, signal)));
  }

  /** A pool that the daemon needs by itself; there already is success. One that does not come up is faulted. */
  async ensure(spec: PoolSpec, signal: AbortSignal): Promise<void> {
    const mine = this.#ensuring.then(async () => {
      if (this.#open.has(spec.name)) return;
      await this.#bringUp(this.#add(await this.#record(spec)), signal);
    });
    this.#ensuring = mine.catch(() => undefined);
    await mine;
  }

  async #record(spec: PoolSpec): Promise<PoolRecord> {
    const { records, maker, clock, log } = this.#parts;
    const chosen = await maker.choose(spec);
    const made = { name: spec.name, createdAt: clock.now(), opened: false, ...chosen };
    maker.build(made);
    await records.write([putPool(made)]);
    log.info("pool chosen", { pool: made.name, driver: made.driver, why: made.why });
    return made;
  }

  #add(record: PoolRecord): OpenPool {
    const { maker, clock } = this.#parts;
    const pool: OpenPool = {
      record,
      driver: orderedDriver(boundedDriver(maker.build(record), POOL_CALLS_LIMIT), clock),
      health: { state: "faulted", why: "it is being opened" },
      opening: undefined,
      looking: undefined,
      lookedAt: 0,
    };
    this.#open.set(record.name, pool);
    return pool;
  }

  /** The driver of a pool that serves. @throws {Failure} `not_found`, or `unavailable` when it is faulted, saying why. */
  get(name: PoolName): StorageDriver {
    const { driver, health } = this.#find(name);
    if (health.state === "faulted") {
      throw new Failure("unavailable", `Cannot use pool "${name}": ${health.why}`);
    }
    return driver;
  }

  /** The driver whatever its health, for names and traits. @throws {Failure} `not_found`. */
  describe(name: PoolName): {
    readonly record: PoolRecord;
    readonly driver: StorageDriver;
    readonly health: PoolHealth;
  } {
    return this.#find(name);
  }

  names(): readonly PoolName[] {
    return [...this.#open.keys()].sort();
  }

  async status(name: PoolName, signal: AbortSignal): Promise<PoolStatus> {
    const { record, driver, health } = this.#find(name);
    const asked = health.state === "faulted" ? null : driver.space(signal).catch(() => null);
    const space = asked && (await this.#within(POOL_ANSWER_TIMEOUT_MS, asked, null, signal));
    return { pool: record, health, traits: driver.traits, facts: driver.facts(), space };
  }

  /** Names of the pools that enforce a size limit, for messages. */
  namesWithSizeLimit(): readonly PoolName[] {
    return this.names().filter((name) => this.#find(name).driver.traits.sizeLimit !== false);
  }

  /** Looks at every pool again, tries to open faulted ones, and tells what changed. */
  async refresh(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#open.values()].map((pool) => this.#look(pool, signal)));
  }

  async closeAll(signal: AbortSignal): Promise<void> {
    for (const { driver, record } of this.#open.values()) {
      await driver.close(signal).catch((thrown: unknown) => {
        this.#parts.log.warn("pool not closed", { pool: record.name, error: thrown });
      });
    }
  }

  #find(name: PoolName): OpenPool {
    const pool = this.#open.get(name);
    if (pool === undefined) {
      throw new Failure(
        "not_found",
        `Cannot use pool "${name}": it does not exist; there is: ${this.names().join(", ")}`,
      );
    }
    return pool;
  }

  /** Resolves when the pool is up, has failed, or is slow; never rejects. */
  async #bringUp(pool: OpenPool, signal: AbortSignal): Promise<void> {
    pool.opening ??= pool.driver
      .open(signal)
      .then(async () => {
        await this.#noteOpened(pool);
        this.#setHealth(pool, await pool.driver.health(signal));
      })
      .catch((thrown: unknown) => {
        const failure = Failure.from(thrown);
        this.#parts.log.debug("pool not opened", { pool: pool.record.name, error: thrown });
        this.#setHealth(pool, { state: "faulted", why: failure.message });
      })
      .finally(() => {
        pool.opening = undefined;
      });
    const slow: PoolHealth = { state: "faulted", why: "its storage does not answer yet" };
    const late = await this.#within(POOL_OPEN_TIMEOUT_MS, pool.opening, slow, signal);
    if (late === slow) this.#setHealth(pool, slow);
  }

  async #noteOpened(pool: OpenPool): Promise<void> {
    if (pool.record.opened) return;
    const record = { ...pool.record, opened: true };
    await this.#parts.records.write([putPool(record)]);
    pool.record = record;
  }

  async #look(pool: OpenPool, signal: AbortSignal): Promise<void> {
    if (pool.opening !== undefined) return;
    const { clock } = this.#parts;
    if (pool.looking === undefined) pool.lookedAt = clock.monotonic();
    pool.looking ??= pool.driver
      .health(signal)
      .catch(
        (thrown: unknown): PoolHealth => ({ state: "faulted", why: Failure.from(thrown).message }),
      )
      .finally(() => {
        pool.looking = undefined;
      });
    const health = await this.#within(POOL_ANSWER_TIMEOUT_MS, pool.looking, undefined, signal);
    if (health?.state === "faulted") await this.#bringUp(pool, signal);
    else this.#setHealth(pool, health ?? silent(pool, clock.monotonic() - pool.lookedAt));
  }

  /** What `work` gives, or `late` when it takes longer; the work goes on. */
  async #within<T, L>(
    timeoutMs: number,
    work: Promise<T>,
    late: L,
    signal: AbortSignal,
  ): Promise<T | L> {
    const stop = new AbortController();
    const timeout = this.#parts.clock.sleep(timeoutMs, AbortSignal.any([signal, stop.signal]));
    try {
      return await Promise.race([
        work,
        timeout.then(
          () => late,
          () => work,
        ),
      ]);
    } finally {
      stop.abort();
    }
  }

  #setHealth(pool: OpenPool, health: PoolHealth): void {
    const before = pool.health;
    pool.health = health;
    if (before.state === health.state) return;
    const why = health.state === "up" ? "it serves" : health.why;
    this.#parts.events.emit({
      type: `pool.${health.state}`,
      level: health.state === "up" ? "info" : "warning",
      subject: pool.record.name,
      message: `Pool "${pool.record.name}" is ${health.state}: ${why}`,
    });
  }
}

/** The health of a pool that does not answer: slow at first, then faulted; what is faulted stays so. */
function silent({ health }: OpenPool, silentMs: number): PoolHealth {
  const faulted = health.state === "faulted" || silentMs >= POOL_SILENCE_LIMIT_MS;
  const seconds = Math.round(silentMs / 1000);
  return faulted
    ? { state: "faulted", why: "its storage does not answer" }
    : {
        state: "warning",
        why: `Its storage has not answered for ${seconds} s; see dmesg, and what loads the disk`,
      };
}

function ensureSameDriver(record: PoolRecord, spec: PoolSpec): void {
  if (spec.driver === "auto" || spec.driver === record.driver) return;
  throw new Failure(
    "failed_precondition",
    `Cannot open pool "${record.name}" with driver ${spec.driver}: it was made with ${record.driver}; ask for ${record.driver} (or auto), or add a pool of another name`,
  );
}
