import { Failure } from "../core/failure.ts";
import type { LayerId, OperationId } from "../core/id.ts";
import type { Operation } from "../core/operation/operation.ts";
import type { Progress } from "../core/ports/files.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";

/** How far the copying of an operation is, in bytes on the disk. `totalBytes` null: not counted yet. */
export interface Copied {
  readonly doneBytes: number;
  readonly totalBytes: number | null;
}

/** What an operation's work is given. */
export interface Work {
  /** The caller's, and that of whoever cancels the operation. */
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Counts, beside the work, how much there is to copy of a layer where that takes long. */
  readonly expect: (driver: StorageDriver, layer: LayerId) => void;
  /** Says, where it is known, how many bytes the work will have done in the end. */
  readonly expectBytes: (totalBytes: number) => void;
}

interface Entry {
  readonly controller: AbortController;
  readonly ended: Promise<void>;
  doneBytes: number;
  totalBytes: number | null;
}

/** The operations that this daemon works on right now, and can still take back: how far they are, and the way to stop them. */
export class Underway {
  readonly #entries = new Map<OperationId, Entry>();

  /** Does `work`, which leaves nothing half done when its signal aborts. */
  async run<T>(
    operation: Operation,
    signal: AbortSignal,
    work: (work: Work) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const entry: Entry = { controller, ended, doneBytes: 0, totalBytes: null };
    this.#entries.set(operation.id, entry);
    const both = AbortSignal.any([signal, controller.signal]);
    try {
      return await work({
        signal: both,
        progress: (doneBytes) => {
          entry.doneBytes = doneBytes;
        },
        expectBytes: (totalBytes) => {
          entry.totalBytes = totalBytes;
        },
        expect: (driver, layer) => {
          if (driver.traits.instantClones) return;
          driver.usage(layer, both).then(
            ({ referencedBytes }) => {
              entry.totalBytes = referencedBytes;
            },
            // Only people miss it.
            () => undefined,
          );
        },
      });
    } finally {
      this.#entries.delete(operation.id);
      end();
    }
  }

  has(id: OperationId): boolean {
    return this.#entries.has(id);
  }

  /** Undefined when nothing was copied: the operation is not under way, or copies nothing. */
  copied(id: OperationId): Copied | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || (entry.doneBytes === 0 && entry.totalBytes === null)) {
      return undefined;
    }
    const { doneBytes, totalBytes } = entry;
    return { doneBytes: Math.min(doneBytes, totalBytes ?? doneBytes), totalBytes };
  }

  /** Asks for the end of an operation, and waits for it. Resolves to false when it is not under way. */
  async cancel(id: OperationId): Promise<boolean> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.controller.abort(new Failure("cancelled", "It was cancelled"));
    await entry.ended;
    return true;
  }
}
