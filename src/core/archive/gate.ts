import { refusal } from "./block.ts";
import { shown } from "./bytes.ts";
import type { Entry } from "./entry.ts";
import { END_MARK, formatEntry } from "./format.ts";
import { LinkRules } from "./link-rules.ts";
import { ArchiveReader } from "./reader.ts";

/** What an archive may bring through the gate. */
export interface GateLimits {
  /** Most bytes of the plain archive; null: no limit. */
  readonly bytes: number | null;
  readonly entries: number;
  /** Whether device nodes pass. */
  readonly devices: boolean;
}

/**
 * What every archive goes through before anything is unpacked. It takes the bytes of any tar, in pieces of any size, and
 * gives those of one that is written anew: its headers by `formatEntry`, its content as it is.
 *
 * 1. What is not understood is refused, never passed on.
 * 2. Every name that it gives is relative, without `..`, and leads through no symbolic link that the archive itself made.
 * 3. Memory grows with the symbolic links only, and they are limited.
 */
export class Gate {
  readonly #reader: ArchiveReader;
  readonly #links = new LinkRules();
  #out: Uint8Array[] = [];

  constructor({ bytes, entries, devices }: GateLimits) {
    const pass = (piece: Uint8Array): void => {
      this.#out.push(piece);
    };
    this.#reader = new ArchiveReader(
      { bytes, entries, form: "archive" },
      {
        entry: (entry) => {
          if (!devices) refuseDevice(entry);
          this.#links.check(entry);
          pass(formatEntry(entry));
        },
        content: pass,
        padding: pass,
      },
    );
  }

  /** Entries so far. */
  get entries(): number {
    return this.#reader.entries;
  }

  /** Bytes so far, up to and with the end mark. */
  get plainBytes(): number {
    return this.#reader.plainBytes;
  }

  /** What was not kept, in sentences. */
  get notes(): readonly string[] {
    return this.#reader.notes;
  }

  /**
   * Takes the next bytes, and gives what to unpack: parts of `chunk` among it, so use it before `chunk` changes.
   *
   * @throws {Failure} `invalid_argument` when it may not or cannot be unpacked, `resource_exhausted` over a limit.
   */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    this.#reader.push(chunk);
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Ends the archive, and gives what is still to unpack. @throws {Failure} `invalid_argument` when it is not whole. */
  end(): readonly Uint8Array[] {
    this.#reader.end();
    return [END_MARK];
  }
}

function refuseDevice({ kind, path }: Entry): void {
  if (!kind.endsWith("device")) return;
  throw refusal(
    `entry ${shown(path)} is a ${kind}; device nodes are made only when that is asked for`,
  );
}
