import { Failure } from "../core/failure.ts";
import type { VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import { formatBytes } from "../core/size.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import { putOperation, putVolume, type Recorded, type Records } from "./records.ts";
import { tooSmall } from "./volume-rules.ts";

/** What {@link Resizes} works with. */
interface ResizesParts {
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
}

/** Limits of volumes, changed while they are used. */
export class Resizes {
  readonly #parts: ResizesParts;

  constructor(parts: ResizesParts) {
    this.#parts = parts;
  }

  /**
   * Sets a volume's limit, in bytes; null lifts it. The same again is success.
   *
   * @throws {Failure} `not_found`; `failed_precondition` when the pool cannot limit, or the volume holds more than that;
   * what the driver says. Then the limit is as it was.
   */
  resize(
    name: VolumeName,
    sizeBytes: number | null,
    signal: AbortSignal,
  ): Promise<Recorded<Volume>> {
    return this.#parts.queue.run(name, async () => {
      const { records, operations, pools } = this.#parts;
      const found = await records.findVolumeByName(name);
      if (found?.value.status.state !== "ready") {
        throw new Failure("not_found", `Cannot resize volume "${name}": it does not exist`);
      }
      const { pool, sizeBytes: before } = found.value.spec;
      if (sizeBytes === before) return found;
      if (pools.get(pool).traits.sizeLimit === false) {
        throw new Failure(
          "failed_precondition",
          `Cannot resize volume "${name}": the driver of pool "${pool}" cannot limit volumes`,
        );
      }
      const operation = operations.begin("volume.resize", found.value, { sizeBytes });
      await records.write([putOperation(operation)], { unchanged: [found] });
      try {
        return await this.#finish(found, operation, signal);
      } catch (thrown) {
        await this.#undo(found, operation, Failure.from(thrown)).catch(() => undefined);
        const limit = formatBytes(sizeBytes ?? 0);
        throw tooSmall(
          thrown,
          (held) =>
            `Cannot resize volume "${name}" to ${limit}: it holds ${held}; remove files in it, or choose a larger limit`,
        );
      }
    });
  }

  /** Carries on a change that was cut off: one that the driver refuses is taken back. */
  resume(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    return this.#parts.queue.run(operation.target, async () => {
      const { records, operations } = this.#parts;
      if ((await operations.find(operation.id))?.status.state !== "running") return;
      const found = await records.findVolume(operation.volume);
      if (found?.value.status.state !== "ready") {
        await records.write([putOperation(operations.done(operation))]);
        return;
      }
      try {
        await this.#finish(found, operation, signal);
      } catch (thrown) {
        const failure = Failure.from(thrown);
        if (failure.code !== "failed_precondition" && failure.code !== "resource_exhausted") {
          throw thrown;
        }
        await this.#undo(found, operation, failure);
      }
    });
  }

  async #finish(
    found: Recorded<Volume>,
    operation: VolumeOperation,
    signal: AbortSignal,
  ): Promise<Recorded<Volume>> {
    const { records, operations, pools, events } = this.#parts;
    const { value: volume } = found;
    const sizeBytes = operation.about.sizeBytes ?? null;
    await pools.get(volume.spec.pool).resize(volume.head, sizeBytes, signal);
    const resized: Volume = { ...volume, spec: { ...volume.spec, sizeBytes } };
    const revision = await records.write(
      [putVolume(resized), putOperation(operations.done(operation))],
      { unchanged: [found] },
    );
    const limit = sizeBytes === null ? "no limit" : `a limit of ${formatBytes(sizeBytes)}`;
    events.emit({
      type: "volume.resized",
      level: "info",
      subject: volume.name,
      message: `Volume "${volume.name}" has ${limit} now`,
    });
    return { value: resized, revision };
  }

  /**
   * The driver may have done it, or a part: the limit of the record is set again. Not when the record turns out to have
   * been written after all, and it is written again first, so that it cannot be later.
   */
  async #undo(
    { value, revision }: Recorded<Volume>,
    operation: VolumeOperation,
    failure: Failure,
  ): Promise<void> {
    const { records, operations, pools } = this.#parts;
    const { head, spec } = value;
    await records.write([putVolume(value)], { unchanged: [{ value, revision }] });
    await pools.get(spec.pool).resize(head, spec.sizeBytes, new AbortController().signal);
    await records.write([putOperation(operations.failed(operation, failure))]);
  }
}
