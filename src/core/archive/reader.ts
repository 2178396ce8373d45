import { Failure } from "../failure.ts";
import { ARCHIVE_NOTES_LIMIT } from "../ports/archive.ts";
import { BLOCK_BYTES, type Block, isZero, paddedBytes, parseBlock, refusal } from "./block.ts";
import { shown, textOf } from "./bytes.ts";
import { type ArchiveForm, type Entry, type Prelude, parseEntry } from "./entry.ts";
import { type PaxRecords, parsePax } from "./pax.ts";
import { SparseMap } from "./sparse-map.ts";

/** How an archive is read. */
export interface ReaderRules {
  /** Most bytes of the plain archive; null: no limit. */
  readonly bytes: number | null;
  readonly entries: number;
  readonly form: ArchiveForm;
}

/** Who takes what is in an archive, in its order. What it throws ends the reading. */
export interface ArchiveSink {
  /** The next entry; `entry.size` bytes of content follow. */
  entry(entry: Entry): void;
  /** The next bytes of its content: part of what was pushed, so use it before that changes. Of a sparse file its map first. */
  content(piece: Uint8Array): void;
  /** What fills the content up to whole blocks. */
  padding(piece: Uint8Array): void;
}

/** Longest extended header, in bytes: the attributes of one file are kept in memory. */
const EXTENDED_LIMIT_BYTES = 4 * 1024 ** 2;
/** Longest name in GNU's long form: as long as a path can be, and some. */
const LONG_NAME_LIMIT_BYTES = 8192;
/** Most zeros after the end mark: as many as the largest record that tar programs fill up. */
const PADDING_LIMIT_BYTES = 16 * 1024 ** 2;
/** Keywords of a global header that change nothing. */
const HARMLESS_GLOBAL = /^(comment|charset|atime|ctime|[a-z]+\.[\w.-]+)$/i;

const NOTHING: Prelude = { pax: null, longName: null, longLink: null };

/** What comes next. */
type State =
  | { readonly at: "header" }
  /** Bytes of an extended header or long name, collected, and then its padding. */
  | { readonly at: "extended"; readonly block: Block; readonly payload: Uint8Array; filled: number }
  /** Content of a file, with its padding, which passes as it is. */
  | {
      readonly at: "content";
      left: number;
      padding: number;
      map: SparseMap | null;
      readonly path: string;
    }
  /** After the first of two blocks of zeros. */
  | { readonly at: "end mark" }
  | { readonly at: "end"; padding: number };

/**
 * Reads a tar of any dialect, in pieces of any size.
 *
 * 1. What is not understood is refused, never passed on.
 * 2. Memory does not grow with the archive.
 */
export class ArchiveReader {
  readonly #rules: ReaderRules;
  readonly #sink: ArchiveSink;
  readonly #header: Uint8Array = new Uint8Array(BLOCK_BYTES);
  #headerFilled = 0;
  #state: State = { at: "header" };
  #before: Prelude = NOTHING;
  #entries = 0;
  #bytes = 0;
  #plainBytes = 0;
  readonly #notes: string[] = [];

  constructor(rules: ReaderRules, sink: ArchiveSink) {
    this.#rules = rules;
    this.#sink = sink;
  }

  /** Entries so far. */
  get entries(): number {
    return this.#entries;
  }

  /** Bytes so far, up to and with the end mark. */
  get plainBytes(): number {
    return this.#plainBytes;
  }

  /** What was not kept, in sentences. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /**
   * Takes the next bytes.
   *
   * @throws {Failure} `invalid_argument` when it may not or cannot be unpacked, `resource_exhausted` over a limit.
   */
  push(chunk: Uint8Array): void {
    for (let rest = chunk; rest.length > 0; ) {
      const taken = this.#take(rest);
      this.#bytes += taken;
      rest = rest.subarray(taken);
    }
    this.#refuseOver(this.#bytes);
  }

  /** Ends the archive. @throws {Failure} `invalid_argument` when it is not whole. */
  end(): void {
    const { at } = this.#state;
    const between = at === "end mark" || (at === "header" && this.#before === NOTHING);
    // Every engine takes a layer without an end mark; whether it is whole, its digest says.
    if (this.#rules.form === "layer" && between && this.#headerFilled === 0) return;
    if (this.#bytes === 0) throw refusal("it is empty");
    if (at !== "end") {
      throw refusal(
        `it ends after ${this.#bytes} bytes in the middle of ${this.#whereabouts()}: a part is missing`,
      );
    }
  }

  /** How many bytes of `rest` were used: one at least. */
  #take(rest: Uint8Array): number {
    const state = this.#state;
    switch (state.at) {
      case "header":
      case "end mark": {
        const taken = Math.min(rest.length, BLOCK_BYTES - this.#headerFilled);
        this.#header.set(rest.subarray(0, taken), this.#headerFilled);
        this.#headerFilled += taken;
        if (this.#headerFilled === BLOCK_BYTES) {
          this.#headerFilled = 0;
          this.#readHeader(this.#bytes + taken - BLOCK_BYTES);
        }
        return taken;
      }
      case "extended":
        return this.#takeExtended(state, rest);
      case "content":
        return this.#takeContent(state, rest);
      case "end":
        if (!isZero(rest)) throw refusal("something follows after its end; give one archive alone");
        state.padding += rest.length;
        if (state.padding > PADDING_LIMIT_BYTES) throw refusal("zeros without end follow its end");
        return rest.length;
    }
  }

  #takeExtended(state: State & { at: "extended" }, rest: Uint8Array): number {
    const { payload, block } = state;
    const taken = Math.min(rest.length, paddedBytes(payload.length) - state.filled);
    const wanted = Math.max(0, Math.min(taken, payload.length - state.filled));
    payload.set(rest.subarray(0, wanted), Math.min(state.filled, payload.length));
    state.filled += taken;
    if (state.filled === paddedBytes(payload.length)) {
      this.#state = { at: "header" };
      this.#readExtended(block.type, payload);
    }
    return taken;
  }

  #takeContent(state: State & { at: "content" }, rest: Uint8Array): number {
    if (state.left === 0) {
      const filling = rest.subarray(0, state.padding);
      this.#sink.padding(filling);
      state.padding -= filling.length;
      if (state.padding === 0) this.#state = { at: "header" };
      return filling.length;
    }
    const taken = Math.min(rest.length, state.left);
    const piece = rest.subarray(0, taken);
    if (state.map !== null) {
      const right = state.map.push(piece);
      if (right === true) state.map = null;
      if (right === false || (right === undefined && taken === state.left)) {
        throw refusal(`entry ${shown(state.path)} has a map of its holes that is wrong`);
      }
    }
    this.#sink.content(piece);
    state.left -= taken;
    if (state.left === 0 && state.padding === 0) this.#state = { at: "header" };
    return taken;
  }

  #readHeader(start: number): void {
    if (isZero(this.#header)) {
      if (this.#before !== NOTHING) throw refusal("it ends where an entry was announced");
      if (this.#state.at === "end mark") {
        this.#state = { at: "end", padding: 0 };
        this.#plainBytes = start + BLOCK_BYTES;
      } else this.#state = { at: "end mark" };
      return;
    }
    if (this.#state.at === "end mark") {
      throw refusal(`it is damaged at byte ${start}: something follows half an end mark`);
    }
    const block = parseBlock(this.#header, start, this.#rules.form);
    if ("xgLK".includes(block.type)) this.#beginExtended(block, start);
    else this.#beginEntry(block, start);
  }

  #beginExtended(block: Block, start: number): void {
    const { type, size } = block;
    const limit = type === "x" || type === "g" ? EXTENDED_LIMIT_BYTES : LONG_NAME_LIMIT_BYTES;
    if (size < 0 || size > limit) {
      throw refusal(
        `the extended header at byte ${start} has ${size} bytes; at most ${limit} are read`,
      );
    }
    const { pax, longName, longLink } = this.#before;
    const twice = { x: pax, L: longName, K: longLink, g: this.#before === NOTHING ? null : "" }[
      type
    ];
    if (twice !== null)
      throw refusal(`an extended header of its kind stands before that at byte ${start}`);
    const payload = new Uint8Array(size);
    if (size === 0) this.#readExtended(type, payload);
    else this.#state = { at: "extended", block, payload, filled: 0 };
  }

  #readExtended(type: string, payload: Uint8Array): void {
    if (type === "L") this.#before = { ...this.#before, longName: untilZero(payload) };
    else if (type === "K") this.#before = { ...this.#before, longLink: untilZero(payload) };
    else {
      const records = parsePax(payload, this.#bytes);
      if (type === "x") this.#before = { ...this.#before, pax: records };
      else checkGlobal(records);
    }
  }

  #beginEntry(block: Block, start: number): void {
    const { form } = this.#rules;
    const entry = parseEntry(block, this.#before, form, (text) => this.#note(text));
    this.#before = NOTHING;
    this.#entries++;
    if (this.#entries > this.#rules.entries) {
      throw tooMuch(`it has more than ${this.#rules.entries} entries`);
    }
    this.#refuseOver(start + BLOCK_BYTES + entry.size);
    this.#sink.entry(entry);
    const { path, size, sparseBytes } = entry;
    const map = sparseBytes === null ? null : new SparseMap(size, sparseBytes);
    const padding = paddedBytes(size) - size;
    if (size > 0) this.#state = { at: "content", left: size, padding, map, path };
    else if (map !== null) throw refusal(`entry ${shown(path)} has no map of its holes`);
  }

  #refuseOver(bytes: number): void {
    const limit = this.#rules.bytes;
    if (limit !== null && bytes > limit) throw tooMuch(`it has more than ${limit} bytes`);
  }

  #note(text: string): void {
    if (this.#notes.length < ARCHIVE_NOTES_LIMIT) this.#notes.push(text);
  }

  #whereabouts(): string {
    const state = this.#state;
    if (state.at === "content") return `entry ${shown(state.path)}`;
    if (state.at === "end mark") return "its end mark";
    if (state.at === "extended" || this.#headerFilled > 0) return "a header";
    return "it, without an end mark";
  }
}

function untilZero(payload: Uint8Array): string {
  const end = payload.indexOf(0);
  return textOf(end < 0 ? payload : payload.subarray(0, end));
}

function checkGlobal(records: PaxRecords): void {
  for (const keyword of records.keys()) {
    if (HARMLESS_GLOBAL.test(keyword) && !/^(GNU|SCHILY|SUN)\./i.test(keyword)) continue;
    throw refusal(
      `its global header sets ${shown(keyword)} for all entries, which is not supported`,
    );
  }
}

function tooMuch(why: string): Failure {
  return new Failure("resource_exhausted", `Cannot unpack the archive: ${why}, the limit`);
}
