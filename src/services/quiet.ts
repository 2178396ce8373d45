import { Failure } from "../core/failure.ts";
import { newId, type QuietId } from "../core/id.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { ContainerDetails, Engine } from "../core/ports/engine.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import {
  type FoundContainer,
  planQuiet,
  type QuietHow,
  type QuietPlan,
} from "../core/quiet/plan-quiet.ts";
import type { QuietRecord, UndoStep } from "../core/quiet/quiet-record.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import { QuietSteps } from "./quiet-steps.ts";
import { dropQuiet, putQuiet, type Records } from "./records.ts";
import type { VolumeUser } from "./volume-users.ts";

/*
 * Containers held still around a piece of work, and put back whatever happens. Invariants:
 * 1. What undoes a step is in the store before the step is taken; so the next daemon puts back what this one left.
 * 2. The volume's queue is never held across a stop or a start: during both the engine calls our Unmount and
 *    Mount, which wait for it. So `around` is called without it, and `work` takes it inside.
 * 3. A container is in one `around` at a time: two would put it back to what the other made of it.
 * 4. Putting back is not given up because the caller has: it has a signal of its own, and every call its time limit.
 */

/** How containers are kept still. */
export interface QuietOptions {
  /** Absent: only their hooks are run. */
  readonly how?: QuietHow | undefined;
  /** What is attempted, for messages: `snapshot volume "data"`. */
  readonly attempt: string;
}

/** What became of the work, and of the containers around it. */
export interface Quieted<T> {
  readonly result: T;
  /** Names of those that were stopped or paused, in the order of putting them back. */
  readonly containers: readonly string[];
  /** What could not be put back, and post-hooks that failed: sentences, told as events as well. */
  readonly faults: readonly string[];
}

/** What {@link Quiet} works with. */
interface QuietParts {
  readonly records: Records;
  readonly mounts: Mounts;
  readonly engines: readonly Engine[];
  readonly events: EventLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How often putting containers back is tried, once a minute, before they are left as they are. */
export const PUT_BACK_TRIES = 10;
/** How long a stopped container's mounts may take to go, in milliseconds. */
const GONE_TIMEOUT_MS = 5_000;

/** Runs hooks, pauses or stops the containers that use volumes, does a piece of work, and puts everything back. */
export class Quiet {
  readonly #parts: QuietParts;
  readonly #steps: QuietSteps;
  readonly #queue = new KeyedQueue();
  readonly #underWay = new Set<QuietId>();

  constructor(parts: QuietParts) {
    this.#parts = parts;
    this.#steps = new QuietSteps(parts.engines);
  }

  /**
   * Does `work` while the containers that use `volumes` have been told by their pre-hooks, and stand still if
   * `how` says so. Must not be called with a volume's queue held; `work` may take it.
   *
   * @throws {Failure} `failed_precondition` for a hook that fails or is late, for a container that cannot be held, and
   * when something else uses a volume; `unavailable` when an engine does not answer and a container of nobody else uses
   * it; what `work` throws. Everything is put back then too.
   */
  async around<T>(
    volumes: readonly Volume[],
    options: QuietOptions,
    work: (containers: readonly string[]) => Promise<T>,
    signal: AbortSignal,
  ): Promise<Quieted<T>> {
    const listed = await this.#list(volumes, options.attempt, signal);
    return this.#holding(listed.map(({ id }) => id).sort(), async () => {
      const found = await this.#inspect(listed, volumes, signal);
      const plan = planQuiet(found, options.how, options.attempt);
      return this.#perform(volumes, plan, options, work, signal);
    });
  }

  /** Puts back what a daemon that is gone left stopped or paused. For housekeeping, once the doors are open. */
  async putBackLeft(): Promise<void> {
    const left = await this.#parts.records.listQuiets();
    // Side by side: a hook that takes its time keeps no other container waiting.
    await Promise.all(left.map((record) => this.#putBackOne(record)));
  }

  async #putBackOne(record: QuietRecord): Promise<void> {
    if (this.#underWay.has(record.id)) return;
    const ids = [...new Set(record.undo.map(({ container }) => container.id))].sort();
    this.#underWay.add(record.id);
    try {
      await this.#holding(ids, () => this.#putBack(record, record.undo));
    } catch (thrown) {
      this.#parts.log.warn("containers not put back yet", { quiet: record.id, error: thrown });
    } finally {
      this.#underWay.delete(record.id);
    }
  }

  async #perform<T>(
    volumes: readonly Volume[],
    plan: QuietPlan,
    { how, attempt }: QuietOptions,
    work: (containers: readonly string[]) => Promise<T>,
    signal: AbortSignal,
  ): Promise<Quieted<T>> {
    const held = plan.undo.filter(({ action }) => action.do !== "post");
    const containers = [...new Set(held.map(({ container }) => container.name))];
    if (plan.steps.length === 0) {
      if (how !== undefined) await this.#ensureStill(volumes, how, attempt, signal);
      return { result: await work([]), containers: [], faults: [] };
    }
    const { records, clock, random } = this.#parts;
    const record: QuietRecord = {
      id: newId<QuietId>(clock, random),
      volumes: volumes.map(({ name }) => name),
      at: clock.now(),
      undo: plan.undo,
      tries: 0,
    };
    this.#underWay.add(record.id);
    const due = new Set<UndoStep>();
    try {
      if (plan.undo.length > 0) await records.write([putQuiet(record)]);
      const outcome = await this.#between(plan, due, attempt, signal, async () => {
        if (how !== undefined) await this.#ensureStill(volumes, how, attempt, signal);
        return work(containers);
      });
      const faults = await this.#putBack(
        record,
        plan.undo.filter((step) => due.has(step)),
      );
      if ("thrown" in outcome) throw outcome.thrown;
      return { result: outcome.result, containers, faults };
    } finally {
      this.#underWay.delete(record.id);
    }
  }

  /** The steps, then the work; what is thrown waits until everything is put back. */
  async #between<T>(
    plan: QuietPlan,
    due: Set<UndoStep>,
    attempt: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<{ readonly result: T } | { readonly thrown: unknown }> {
    try {
      for (const step of plan.steps) {
        signal.throwIfAborted();
        // Due before it is done: a call that has failed may have been heard.
        for (const undo of step.undo) due.add(undo);
        await this.#steps.take(step, attempt, signal);
      }
      return { result: await work() };
    } catch (thrown) {
      return { thrown };
    }
  }

  /** Takes undo steps; returns what went wrong. What can still succeed stays in the record. */
  async #putBack(record: QuietRecord, due: readonly UndoStep[]): Promise<readonly string[]> {
    const { records, events } = this.#parts;
    const faults: string[] = [];
    const left: UndoStep[] = [];
    const last = record.tries + 1 >= PUT_BACK_TRIES;
    for (const step of due) {
      const fault = await this.#steps.undo(step);
      if (fault === undefined) continue;
      if (fault.retry && !last) left.push(step);
      if (fault.retry && record.tries > 0 && !last) continue;
      const next = fault.retry && !last ? "; it is tried again every minute" : "";
      faults.push(`${fault.why}${next}`);
      events.emit({
        type: step.action.do === "post" ? "hook.failed" : "container.left",
        level: "warning",
        subject: record.volumes.join(", "),
        message: `${fault.why}${next}`,
      });
    }
    const kept = { ...record, undo: left, tries: record.tries + 1 };
    await records.write([left.length > 0 ? putQuiet(kept) : dropQuiet(record.id)]);
    return faults;
  }

  /** Containers of all engines that have one of the volumes, and may be running. */
  async #list(
    volumes: readonly Volume[],
    attempt: string,
    signal: AbortSignal,
  ): Promise<readonly { readonly engine: Engine; readonly id: string }[]> {
    const found = new Map<string, Engine>();
    const silent: { readonly engine: Engine; readonly thrown: Failure }[] = [];
    const asked = this.#parts.engines.flatMap((engine) =>
      volumes.map(async ({ name }) => {
        try {
          const listed = await engine.listContainers(name, signal);
          for (const { id, running } of listed) if (running) found.set(id, engine);
        } catch (thrown) {
          signal.throwIfAborted();
          const failure = Failure.from(thrown);
          if (failure.detail["absent"] !== true) silent.push({ engine, thrown: failure });
        }
      }),
    );
    await Promise.all(asked);
    const [first] = silent;
    if (first !== undefined) await this.#ensureKnown(volumes, found, first, attempt, signal);
    return [...found].map(([id, engine]) => ({ engine, id }));
  }

  /** An engine does not answer: that is fine only if no container uses the volumes that no other one has told of. */
  async #ensureKnown(
    volumes: readonly Volume[],
    found: ReadonlyMap<string, Engine>,
    { engine, thrown }: { readonly engine: Engine; readonly thrown: Failure },
    attempt: string,
    signal: AbortSignal,
  ): Promise<void> {
    const users = await this.#users(volumes, signal);
    const unknown = users.find(
      ({ containerId }) => containerId !== null && !found.has(containerId),
    );
    if (unknown === undefined) return;
    throw new Failure(
      "unavailable",
      `Cannot ${attempt}: the engine at ${engine.address} does not answer, and container ${nameOf(unknown)} may have hooks for it; start it, or take it out of "engines" in lagan.yaml`,
      { cause: thrown },
    );
  }

  async #users(volumes: readonly Volume[], signal: AbortSignal): Promise<readonly VolumeUser[]> {
    const users = volumes.map((volume) => this.#parts.mounts.users(volume, signal));
    return (await Promise.all(users)).flat();
  }

  async #inspect(
    listed: readonly { readonly engine: Engine; readonly id: string }[],
    volumes: readonly Volume[],
    signal: AbortSignal,
  ): Promise<readonly FoundContainer[]> {
    const names = new Set<string>(volumes.map(({ name }) => name));
    const all = await Promise.all(
      listed.map(async ({ engine, id }) => {
        const details = await engine.inspect(id, signal);
        const uses = details !== undefined && hasOneOf(details, names);
        return uses ? { engine: engine.address, details } : undefined;
      }),
    );
    return all.filter((one) => one !== undefined);
  }

  /** Looks at the mount tables: the engines' word is not proof that nobody writes. */
  async #ensureStill(
    volumes: readonly Volume[],
    how: QuietHow,
    attempt: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + GONE_TIMEOUT_MS;
    for (;;) {
      const user = await this.#findWriter(volumes, how, signal);
      if (user === undefined) return;
      if (how === "pause" || clock.monotonic() >= until) {
        throw new Failure(
          "failed_precondition",
          `Cannot ${attempt}: it is in use by ${nameOf(user)}, which no engine can ${how}; end it first`,
        );
      }
      await clock.sleep(50, signal);
    }
  }

  /** Somebody who uses a volume and does not stand still. */
  async #findWriter(
    volumes: readonly Volume[],
    how: QuietHow,
    signal: AbortSignal,
  ): Promise<VolumeUser | undefined> {
    const users = await this.#users(volumes, signal);
    if (how === "stop") return users[0];
    const states = users.map(async (user) => {
      const { containerId } = user;
      const still = containerId !== null && (await this.#isPaused(containerId, signal));
      return still ? undefined : user;
    });
    return (await Promise.all(states)).find((user) => user !== undefined);
  }

  async #isPaused(id: string, signal: AbortSignal): Promise<boolean> {
    for (const engine of this.#parts.engines) {
      const details = await engine.inspect(id, signal).catch(() => undefined);
      if (details !== undefined) return details.state === "paused";
    }
    return false;
  }

  /** Does `work` while no other `around` has any of these containers. Sorted, so that two never wait for each other. */
  #holding<T>([first, ...rest]: readonly string[], work: () => Promise<T>): Promise<T> {
    if (first === undefined) return work();
    return this.#queue.run(first, () => this.#holding(rest, work));
  }
}

/** A volume of an engine's own may have the name of one of ours. */
function hasOneOf(details: ContainerDetails, names: ReadonlySet<string>): boolean {
  return details.volumes.some(({ name, driver }) => driver !== "local" && names.has(name));
}

function nameOf({ pid, containerId }: VolumeUser): string {
  return containerId === null ? `process ${pid}` : containerId.slice(0, 12);
}
