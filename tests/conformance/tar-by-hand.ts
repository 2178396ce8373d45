/** A header of a tar entry, written field by field, so that any of them can be wrong. */
export interface Header {
  readonly name: string | Uint8Array;
  readonly type?: string;
  readonly link?: string | Uint8Array;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** What the header says; the content's length unless told. */
  readonly size?: number | Uint8Array;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly prefix?: string;
  readonly magic?: string;
  readonly content?: string | Uint8Array;
  /** Records of an extended header before it. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
  /** Added to the right checksum. */
  readonly checksumError?: number;
}

const BLOCK = 512;

function bytes(text: string | Uint8Array): Buffer {
  return typeof text === "string" ? Buffer.from(text) : Buffer.from(text);
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]);
}

/** One header block. */
export function block(header: Header): Buffer {
  const out = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  const content = bytes(header.content ?? "");
  bytes(header.name).copy(out, 0, 0, 100);
  out.write(octal(header.mode ?? 0o644, 7), 100);
  out.write(octal(header.uid ?? 0, 7), 108);
  out.write(octal(header.gid ?? 0, 7), 116);
  const size = header.size ?? content.length;
  if (typeof size === "number") out.write(octal(size, 11), 124);
  else bytes(size).copy(out, 124, 0, 12);
  out.write(octal(header.mtime ?? 1_700_000_000, 11), 136);
  out.write(header.type ?? "0", 156, "latin1");
  bytes(header.link ?? "").copy(out, 157, 0, 100);
  out.write(header.magic ?? "ustar\x0000", 257, "latin1");
  out.write(octal(header.major ?? 0, 7), 329);
  out.write(octal(header.minor ?? 0, 7), 337);
  out.write(header.prefix ?? "", 345);
  out.fill(" ", 148, 156);
  const sum = out.reduce((total, byte) => total + byte, 0) + (header.checksumError ?? 0);
  out.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return out;
}

/** Records of an extended header. */
export function records(pax: Readonly<Record<string, string | Uint8Array>>): Buffer {
  return Buffer.concat(
    Object.entries(pax).map(([keyword, value]) => {
      const rest = Buffer.concat([bytes(` ${keyword}=`), bytes(value), bytes("\n")]);
      let length = rest.length;
      while (rest.length + String(length).length !== length) {
        length = rest.length + String(length).length;
      }
      return Buffer.concat([bytes(String(length)), rest]);
    }),
  );
}

/** An entry with its content, and its extended header if it has one. */
export function entry(header: Header): Buffer {
  const before =
    header.pax === undefined
      ? Buffer.alloc(0)
      : entry({ name: "PaxHeader", type: "x", content: records(header.pax) });
  return Buffer.concat([before, block(header), padded(bytes(header.content ?? ""))]);
}

/** The end mark. */
export const END: Buffer = Buffer.alloc(2 * BLOCK);

/** A whole archive of these entries. */
export function archive(...parts: readonly (Header | Buffer)[]): Buffer {
  const entries = parts.map((part) => (Buffer.isBuffer(part) ? part : entry(part)));
  return Buffer.concat([...entries, END]);
}
