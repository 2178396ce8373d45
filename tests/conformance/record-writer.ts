import { createHash } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Length of a record's line, in bytes. */
const RECORD_BYTES = 80;
/** Into how many files the records go, in turn. */
const FILES = 3;

/** Numbered records with a checksum, each synced before the next is written: as a database writes its journal. */
export class RecordWriter {
  readonly #files: readonly FileHandle[];
  #begun = 0;
  #acknowledged = 0;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  private constructor(files: readonly FileHandle[]) {
    this.#files = files;
  }

  /** Begins to write into new files of a directory, or of several in turn. */
  static async start(...directories: readonly string[]): Promise<RecordWriter> {
    const paths = Array.from({ length: FILES }, (_, index) => fileOf(directories, index));
    const writer = new RecordWriter(await Promise.all(paths.map((path) => open(path, "ax"))));
    writer.#running = writer.#run();
    // What went wrong is told by more() and stop().
    writer.#running.catch(() => undefined);
    return writer;
  }

  /** Records that are surely on the disk. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Records of which at least a part may be on the disk. */
  get begun(): number {
    return this.#begun;
  }

  /** Waits until so many more are acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.#acknowledged + count;
    while (this.#acknowledged < wanted && !this.#stopped) await this.#turn();
    if (this.#stopped) await this.#running;
  }

  /** Stops, and throws what went wrong. */
  async stop(): Promise<void> {
    this.#stopped = true;
    try {
      await this.#running;
    } finally {
      for (const file of this.#files) await file.close();
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped) {
        const number = ++this.#begun;
        const file = this.#files[number % FILES];
        await file?.write(recordOf(number));
        await file?.datasync();
        this.#acknowledged = number;
      }
    } finally {
      this.#stopped = true;
    }
  }
}

/** How many whole records each file has; throws when one is no prefix of what was written to it. */
export async function readRecords(...directories: readonly string[]): Promise<readonly number[]> {
  const counts: number[] = [];
  for (let index = 0; index < FILES; index++) {
    const text = await readFile(fileOf(directories, index), "utf8");
    const whole = Math.floor(text.length / RECORD_BYTES);
    const expected = Array.from({ length: whole + 1 }, (_, place) =>
      recordOf(numberOf(index, place)),
    ).join("");
    if (!expected.startsWith(text)) throw new Error(`File ${index} is no prefix of its records`);
    counts.push(whole);
  }
  return counts;
}

/** The last record before the first that is missing, when the files are those of one instant; throws when they are not. */
export function lastRecord(counts: readonly number[]): number {
  let last = 0;
  while ((counts[(last + 1) % FILES] ?? 0) > placeOf(last + 1)) last++;
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total !== last) throw new Error(`Record ${last + 1} is missing, later ones are there`);
  return last;
}

/** Of a file's records, how many of the first `number` of all are in it. */
export function countUpTo(number: number, file: number): number {
  let count = 0;
  while (numberOf(file, count) <= number) count++;
  return count;
}

/** Number of the record at a place of a file; the first record is 1. */
function numberOf(file: number, place: number): number {
  return (file === 0 ? FILES : file) + place * FILES;
}

function placeOf(number: number): number {
  return Math.ceil(number / FILES) - 1;
}

function recordOf(number: number): string {
  const text = `record ${number} `;
  const digest = createHash("sha256").update(text).digest("hex");
  return `${text}${digest}`
    .padEnd(RECORD_BYTES - 1, ".")
    .slice(0, RECORD_BYTES - 1)
    .concat("\n");
}

function fileOf(directories: readonly string[], index: number): string {
  return join(directories[index % directories.length] ?? "", `records-${index}`);
}
