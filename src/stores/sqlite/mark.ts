import { readFileSync, writeFileSync } from "node:fs";
import { Failure } from "../../core/failure.ts";

/**
 * The newest revision that a store has ever acknowledged, in a small file beside it. It tells when the store is set
 * back to an older copy, or has lost its write-ahead log: both look whole by themselves, and would give up or expire
 * what people have kept since.
 *
 * It is written after each commit and never synced, so it may be behind the store, and is never ahead of it.
 */
export class Mark {
  readonly #storePath: string;
  #written = 0;

  constructor(storePath: string) {
    this.#storePath = storePath;
  }

  get #path(): string {
    return `${this.#storePath}.seen`;
  }

  /** @throws {Failure} `failed_precondition` when the store is older than what has been seen of it. */
  check(revision: number): void {
    const seen = this.#read();
    if (seen > revision) {
      throw new Failure(
        "failed_precondition",
        `Cannot open the store ${this.#storePath}: it is older (revision ${revision}) than it has been (${seen}): it was set back to a copy, or its write-ahead log (-wal) is gone; put the newer one back. To go on with this one all the same, remove ${this.#path}: of volumes made since, the content stays and "lagan doctor" names it; what was renamed, removed or restored since is as it was before`,
      );
    }
    this.note(revision);
  }

  /** Writes down that this revision is acknowledged. */
  note(revision: number): void {
    if (revision <= this.#written) return;
    try {
      writeFileSync(this.#path, `${revision}\n`.padStart(20), { flag: "r+" });
      this.#written = revision;
    } catch (thrown) {
      this.#make(revision, thrown);
    }
  }

  #make(revision: number, thrown: unknown): void {
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT")) return;
    try {
      writeFileSync(this.#path, `${revision}\n`.padStart(20), { mode: 0o600 });
      this.#written = revision;
    } catch {
      // On a full or sick disk nothing is noted: a store that is set back later is only not noticed.
    }
  }

  /** 0 when nothing was seen, or what a power cut left of the file says nothing. */
  #read(): number {
    try {
      return Number.parseInt(readFileSync(this.#path, "latin1"), 10) || 0;
    } catch {
      return 0;
    }
  }
}
