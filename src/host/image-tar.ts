import { BLOCK_BYTES, type Block, isZero, paddedBytes, parseBlock } from "../core/archive/block.ts";
import { decodeUtf8, textOf } from "../core/archive/bytes.ts";
import { type PaxRecords, parsePax } from "../core/archive/pax.ts";
import { Failure } from "../core/failure.ts";

/** Longest name or extended header, in bytes. */
const HEADER_LIMIT_BYTES = 1024 * 1024;
/** Most entries of an image's archive: an image has some blobs for each layer. */
const ENTRIES_LIMIT = 100_000;

/** An entry of an image's archive. Only files and links count there. */
export interface TarMember {
  /** Relative, without empty or `.` parts. */
  readonly path: string;
  readonly kind: "file" | "symbolic link" | "hard link";
  /** Of a link as it stands. */
  readonly linkPath: string;
  readonly sizeBytes: number;
  /** The content, to be read before the next entry is asked for; what is not read is passed over. */
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * The files and links of a tar that holds an image, as they come. Directories are passed over.
 *
 * @throws {Failure} `invalid_argument` for what is no whole tar, or has other kinds or names than an image's.
 */
export async function* readImageTar(tar: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const reader = new Reader(tar);
  let before: Before = {};
  let entries = 0;
  try {
    for (;;) {
      const head = await reader.take(BLOCK_BYTES);
      if (head === undefined) throw broken("it ends too early");
      if (isZero(head)) break;
      const block = blockOf(head, reader.at - BLOCK_BYTES);
      if ("xgLK".includes(block.type)) {
        before = { ...before, ...(await readBefore(reader, block)) };
        continue;
      }
      entries += 1;
      if (entries > ENTRIES_LIMIT) throw broken(`it has more than ${ENTRIES_LIMIT} entries`);
      const member = memberOf(block, before);
      before = {};
      const end = reader.at + paddedBytes(member.sizeBytes);
      if (member.kind !== undefined) {
        yield { ...member, kind: member.kind, content: reader.pieces(member.sizeBytes) };
      }
      await reader.skipTo(end);
    }
    // What sends it is to come to its end, or it would be told of a broken connection.
    await reader.drain();
  } finally {
    await reader.close();
  }
}

/** What stood before an entry's own header. */
interface Before {
  readonly pax?: PaxRecords;
  readonly longName?: string;
  readonly longLink?: string;
}

async function readBefore(reader: Reader, { type, size }: Block): Promise<Before> {
  if (size > HEADER_LIMIT_BYTES) throw broken("an extended header is too long");
  const payload = await reader.take(paddedBytes(size));
  if (payload === undefined) throw broken("it ends too early");
  const bytes = payload.subarray(0, size);
  if (type === "x") return { pax: parsePax(bytes, reader.at) };
  // Of all the entries that follow: nothing of an image's archive is told so.
  if (type === "g") return {};
  const text = textOf(bytes).replace(/\0+$/, "");
  return type === "L" ? { longName: text } : { longLink: text };
}

type Head = Omit<TarMember, "kind" | "content"> & { readonly kind: TarMember["kind"] | undefined };

function memberOf(block: Block, { pax, longName, longLink }: Before): Head {
  const text = (keyword: string): string | undefined => {
    const value = pax?.get(keyword);
    return value === undefined ? undefined : textOf(value);
  };
  const sizeText = text("size");
  const sizeBytes = sizeText === undefined ? block.size : Number(sizeText);
  const name = pathOf(text("path") ?? longName ?? block.name);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw broken(`${name} has no size`);
  const linkPath = decodeUtf8(text("linkpath") ?? longLink ?? block.linkName) ?? "";
  switch (block.type) {
    case "0":
    case "\0":
    case "7":
      return { path: name, kind: "file", linkPath: "", sizeBytes };
    case "1":
    case "2": {
      const kind = block.type === "1" ? "hard link" : "symbolic link";
      return { path: name, kind, linkPath, sizeBytes: 0 };
    }
    case "5":
      return { path: name, kind: undefined, linkPath: "", sizeBytes: 0 };
    default:
      throw broken(`it has an entry of kind ${JSON.stringify(block.type)}, which images have not`);
  }
}

/** @throws {Failure} for names outside of the archive. They are only compared, never made. */
function pathOf(name: string): string {
  const text = decodeUtf8(name);
  const parts = (text ?? "").split("/").filter((part) => part !== "" && part !== ".");
  if (text === undefined || parts.includes("..")) throw broken("it has a name that is not one");
  return parts.join("/");
}

function blockOf(bytes: Uint8Array, at: number): Block {
  try {
    return parseBlock(bytes, at);
  } catch (cause) {
    throw new Failure(
      "invalid_argument",
      at === 0
        ? "Cannot import the image: it is no tar; give an OCI layout or what docker save writes"
        : `Cannot import the image: its tar is damaged at byte ${at}`,
      { cause },
    );
  }
}

function broken(why: string): Failure {
  return new Failure("invalid_argument", `Cannot import the image: its tar is broken: ${why}`);
}

/** Bytes in the pieces that are asked for. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();
  #ended = false;
  /** Bytes that were taken. */
  at = 0;

  constructor(tar: AsyncIterable<Uint8Array>) {
    this.#source = tar[Symbol.asyncIterator]();
  }

  /** Exactly so many; undefined: there are fewer. */
  async take(count: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length >= count) return this.#cut(count);
    const whole = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (!(await this.#fill())) return undefined;
      const piece = this.#cut(Math.min(this.#rest.length, count - filled));
      whole.set(piece, filled);
      filled += piece.length;
    }
    return whole;
  }

  async *pieces(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (!(await this.#fill())) throw broken("it ends too early");
      const piece = this.#cut(Math.min(this.#rest.length, left));
      left -= piece.length;
      yield piece;
    }
  }

  async skipTo(at: number): Promise<void> {
    for await (const _ of this.pieces(at - this.at));
  }

  async drain(): Promise<void> {
    while (await this.#fill()) this.#cut(this.#rest.length);
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#source.return?.();
  }

  /** False at the end. */
  async #fill(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#source.next();
      this.#ended = done === true;
      if (done === true) return false;
      this.#rest = value;
    }
    return true;
  }

  #cut(count: number): Uint8Array {
    const piece = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    this.at += count;
    return piece;
  }
}
