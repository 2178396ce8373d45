import { Failure } from "../core/failure.ts";
import { newId, type OperationId, type VolumeId } from "../core/id.ts";
import type {
  Operation,
  OperationState,
  OperationVerb,
  VolumeOperation,
} from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Random } from "../core/ports/random.ts";
import type { Volume } from "../core/volume/volume.ts";
import { dropOperation, type Records } from "./records.ts";
import { Underway } from "./underway.ts";

/** How long a finished operation can be looked up, in milliseconds: a day. */
export const OPERATION_KEEP_MS: number = 24 * 3_600_000;
/** How many finished operations are kept at most; the oldest go first. */
export const OPERATION_KEEP_LIMIT = 1_000;

/** The book of operations: what is under way, and what became of what was. */
export class Operations {
  /** What this daemon works on right now. */
  readonly underway: Underway = new Underway();
  readonly #records: Records;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(records: Records, clock: Clock, random: Random) {
    this.#records = records;
    this.#clock = clock;
    this.#random = random;
  }

  /** A new running operation, to be written in the transaction that begins the work. */
  begin(
    verb: Exclude<OperationVerb, "image.import">,
    volume: Volume,
    about: Operation["about"] = {},
  ): VolumeOperation {
    return { ...this.#begun(verb, volume.name), volume: volume.id, about };
  }

  /** The same for the bringing of an image. @param target Its name, or where it comes from. */
  beginImage(target: string): Operation {
    return this.#begun("image.import", target);
  }

  #begun(verb: OperationVerb, target: string): Operation {
    return {
      id: newId<OperationId>(this.#clock, this.#random),
      ...{ verb, target, volume: null },
      startedAt: this.#clock.now(),
      about: {},
      status: { state: "running" },
    };
  }

  /** The same operation, done: to be written in the transaction that ends the work. */
  done<T extends Operation>(operation: T): T {
    return { ...operation, status: { state: "done", finishedAt: this.#clock.now() } };
  }

  /** The same operation, failed and rolled back. */
  failed<T extends Operation>(operation: T, failure: Failure): T {
    const finishedAt = this.#clock.now();
    return { ...operation, status: { state: "failed", finishedAt, why: failure.message } };
  }

  /** @throws {Failure} `not_found` when there is none, or it was forgotten. */
  async get(id: OperationId): Promise<Operation> {
    const operation = await this.find(id);
    if (operation === undefined) {
      throw new Failure(
        "not_found",
        `Cannot find operation ${id}: it does not exist or is long over`,
      );
    }
    return operation;
  }

  /**
   * Stops an operation that copies something, and takes back what it did; resolves when that is done.
   *
   * @throws {Failure} `not_found`; `failed_precondition` when it is over, or can only go on; `unavailable` when what it
   *   did is not taken back yet, which then happens by itself.
   */
  async cancel(id: OperationId): Promise<Operation> {
    const attempt = `Cannot cancel operation ${id}`;
    const { status, verb } = await this.get(id);
    if (status.state !== "running") {
      throw new Failure("failed_precondition", `${attempt}: it is over: ${overOf(status)}`);
    }
    if (!(await this.underway.cancel(id))) {
      throw new Failure(
        "failed_precondition",
        `${attempt}: what a ${verb} has begun can only go on; see: lagan operation inspect ${id}`,
      );
    }
    const after = await this.get(id);
    if (after.status.state === "failed") return after;
    if (after.status.state === "done") {
      throw new Failure(
        "failed_precondition",
        `${attempt}: it was done before it could be stopped`,
      );
    }
    throw new Failure(
      "unavailable",
      `${attempt} wholly: it has stopped, and what it did is being taken back; see: lagan operation inspect ${id}`,
    );
  }

  /** Undefined when there is none. */
  find(id: OperationId): Promise<Operation | undefined> {
    return this.#records.findOperation(id);
  }

  /** Oldest first. */
  list(): Promise<readonly Operation[]> {
    return this.#records.listOperations();
  }

  /** Those about a volume, oldest first. */
  async listOf(volume: VolumeId): Promise<readonly VolumeOperation[]> {
    const all = await this.list();
    return all.filter((operation): operation is VolumeOperation => operation.volume === volume);
  }

  /** Forgets finished operations beyond {@link OPERATION_KEEP_MS} and {@link OPERATION_KEEP_LIMIT}. */
  async forgetOld(): Promise<void> {
    const finished = (await this.list()).flatMap((operation) =>
      operation.status.state === "running" ? [] : [{ ...operation.status, id: operation.id }],
    );
    const horizon = this.#clock.now() - OPERATION_KEEP_MS;
    const surplus = finished.length - OPERATION_KEEP_LIMIT;
    const old = finished.filter(
      (operation, index) => index < surplus || operation.finishedAt < horizon,
    );
    for (let start = 0; start < old.length; start += 100) {
      await this.#records.write(old.slice(start, start + 100).map(({ id }) => dropOperation(id)));
    }
  }
}

function overOf(status: OperationState): string {
  return status.state === "failed" ? `it failed: ${status.why}` : "it is done";
}
