import { Failure } from "../failure.ts";
import { ARCHIVE_NOTES_LIMIT } from "../ports/archive.ts";
import { BLOCK_BYTES, type Block, isZero, paddedBytes, parseBlock, refusal } from "./block.ts";
import { shown, textOf } from "./bytes.ts";
import { type Entry, type Prelude, parseEntry } from "./entry.ts";
import { END_MARK, formatEntry } from "./format.ts";
import { LinkRules } from "./link-rules.ts";
import { type PaxRecords, parsePax } from "./pax.ts";
import { SparseMap } from "./sparse-map.ts";

/** What an archive may bring through the gate. */
export interface GateLimits {
  /** Most bytes of the plain archive; null: no limit. */
  readonly bytes: number | null;
  readonly entries: number;
  /** Whether device nodes pass. */
  readonly devices: boolean;
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
  | { readonly at: "content"; left: number; map: SparseMap | null; readonly path: string }
  /** After the first of two blocks of zeros. */
  | { readonly at: "end mark" }
  | { readonly at: "end"; padding: number };

/**
 * What every archive goes through before anything is unpacked. It takes the bytes of any tar, in pieces of any size, and
 * gives those of one that is written anew: its headers by `formatEntry`, its content as it is.
 *
 * 1. What is not understood is refused, never passed on.
 * 2. Every name that it gives is relative, without `..`, and leads through no symbolic link that the archive itself made.
 * 3. Memory grows with the symbolic links only, and they are limited.
 */
export class Gate {
  readonly #limits: GateLimits;
  readonly #links = new LinkRules();
  readonly #header: Uint8Array = new Uint8Array(BLOCK_BYTES);
  #headerFilled = 0;
  #state: State = { at: "header" };
  #before: Prelude = NOTHING;
  #entries = 0;
  #bytes = 0;
  #plainBytes = 0;
  readonly #notes: string[] = [];

  constructor(limits: GateLimits) {
    this.#limits = limits;
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
   * Takes the next bytes, and gives what to unpack: parts of `chunk` among it, so use it before `chunk` changes.
   *
   * @throws {Failure} `invalid_argument` when it may not or cannot be unpacked, `resource_exhausted` over a limit.
   */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    const out: Uint8Array[] = [];
    for (let rest = chunk; rest.length > 0; ) {
      const taken = this.#take(rest, out);
      this.#bytes += taken;
      rest = rest.subarray(taken);
    }
    this.#refuseOver(this.#bytes);
    return out;
  }

  /** Ends the archive, and gives what is still to unpack. @throws {Failure} `invalid_argument` when it is not whole. */
  end(): readonly Uint8Array[] {
    const { at } = this.#state;
    if (this.#bytes === 0) throw refusal("it is empty");
    if (at !== "end") {
      throw refusal(
        `it ends after ${this.#bytes} bytes in the middle of ${this.#whereabouts()}: a part is missing`,
      );
    }
    return [END_MARK];
  }

  /** How many bytes of `rest` were used: one at least. */
  #take(rest: Uint8Array, out: Uint8Array[]): number {
    const state = this.#state;
    switch (state.at) {
      case "header":
      case "end mark": {
        const taken = Math.min(rest.length, BLOCK_BYTES - this.#headerFilled);
        this.#header.set(rest.subarray(0, taken), this.#headerFilled);
        this.#headerFilled += taken;
        if (this.#headerFilled === BLOCK_BYTES) {
          this.#headerFilled = 0;
          this.#readHeader(this.#bytes + taken - BLOCK_BYTES, out);
        }
        return taken;
      }
      case "extended":
        return this.#takeExtended(state, rest);
      case "content":
        return this.#takeContent(state, rest, out);
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

  #takeContent(state: State & { at: "content" }, rest: Uint8Array, out: Uint8Array[]): number {
    const taken = Math.min(rest.length, state.left);
    const piece = rest.subarray(0, taken);
    if (state.map !== null) {
      const right = state.map.push(piece);
      if (right === true) state.map = null;
      if (right === false || (right === undefined && taken === state.left)) {
        throw refusal(`entry ${shown(state.path)} has a map of its holes that is wrong`);
      }
    }
    out.push(piece);
    state.left -= taken;
    if (state.left === 0) this.#state = { at: "header" };
    return taken;
  }

  #readHeader(start: number, out: Uint8Array[]): void {
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
    const block = parseBlock(this.#header, start);
    if ("xgLK".includes(block.type)) this.#beginExtended(block, start);
    else this.#beginEntry(block, start, out);
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

  #beginEntry(block: Block, start: number, out: Uint8Array[]): void {
    const entry = parseEntry(block, this.#before, (text) => this.#note(text));
    this.#before = NOTHING;
    this.#entries++;
    if (this.#entries > this.#limits.entries) {
      throw tooMuch(`it has more than ${this.#limits.entries} entries`);
    }
    this.#refuseOver(start + BLOCK_BYTES + entry.size);
    this.#checkDevice(entry);
    this.#links.check(entry);
    out.push(formatEntry(entry));
    const left = paddedBytes(entry.size);
    const { path, size, sparseBytes } = entry;
    const map = sparseBytes === null ? null : new SparseMap(size, sparseBytes);
    if (left > 0) this.#state = { at: "content", left, map, path };
    else if (map !== null) throw refusal(`entry ${shown(path)} has no map of its holes`);
  }

  #checkDevice({ kind, path }: Entry): void {
    if (this.#limits.devices || !kind.endsWith("device")) return;
    throw refusal(
      `entry ${shown(path)} is a ${kind}; device nodes are made only when that is asked for`,
    );
  }

  #refuseOver(bytes: number): void {
    const limit = this.#limits.bytes;
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
