import assert from "node:assert/strict";
import fc from "fast-check";
import { BLOCK_BYTES, isZero, paddedBytes, parseBlock } from "../../src/core/archive/block.ts";
import { Gate } from "../../src/core/archive/gate.ts";
import { formatPax, parsePax } from "../../src/core/archive/pax.ts";
import { END, entry, type Header } from "../conformance/tar-by-hand.ts";
import { type Property, parsed } from "./property.ts";
import { anyText, near } from "./texts.ts";

const name = near("a", "d/", "d/f", "./x", "../up", "/etc/passwd", "way", "way/in", "d/../..");
const keyword = near(
  ...["path", "linkpath", "size", "uid", "gid", "mtime", "hdrcharset", "comment"],
  ...["GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize"],
  ...["GNU.sparse.map", "SCHILY.xattr.user.a", "SCHILY.acl.access", "SCHILY.realsize"],
);
const value = near("1", "0", "a/b", "../up", "1.5", "-1", "user::rw-", "BINARY", "4294967295");
const record = fc
  .tuple(keyword, value)
  .filter(([word]) => word !== "" && !word.includes("=") && word !== "__proto__");
/** A header with anything in it. */
export const header: fc.Arbitrary<Header> = fc.record(
  {
    name,
    type: fc.oneof(
      fc.constantFrom("0", "0", "0", "1", "2", "2", "5", "5", "\0", "7", "6", "3", "4"),
      fc.constantFrom("x", "g", "L", "K", "S", "s", "M", "V", "D", "X", "\xff"),
    ),
    link: name,
    mode: fc.nat(0o7777),
    uid: fc.nat(0o7777777),
    size: fc.oneof(fc.nat(5000), fc.uint8Array({ minLength: 12, maxLength: 12 })),
    mtime: fc.nat(),
    prefix: near("", "", "..", "p"),
    magic: fc.constantFrom("ustar\x0000", "ustar\x0000", "ustar  \0", "\0".repeat(8)),
    content: fc.oneof(fc.constant(""), anyText, fc.uint8Array({ maxLength: 2000 })),
    pax: fc.array(record, { maxLength: 4 }).map((records) => Object.fromEntries(records)),
  },
  { requiredKeys: ["name"] },
);
/** Nothing odd in one alone: only together can they lead somewhere. */
const plain: fc.Arbitrary<Header> = fc.record({
  name: fc.constantFrom("way", "way/in", "way/in/deep", "d", "d/f", "./way/in"),
  type: fc.constantFrom("0", "1", "2", "5"),
  link: fc.constantFrom("way", "way/in", "d", "/x", ".."),
});
/** Entries, some with a byte changed or a piece cut out. */
export function damaged(entries: fc.Arbitrary<readonly Header[]>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(
      entries,
      fc.option(fc.tuple(fc.nat(), fc.nat(255)), { freq: 4 }),
      fc.option(fc.tuple(fc.nat(), fc.nat(1024)), { freq: 4 }),
      fc.boolean(),
    )
    .map(([headers, changed, cut, ended]) => {
      const whole = Buffer.concat([...headers.map(entry), ended ? END : Buffer.alloc(0)]);
      if (changed !== null && whole.length > 0) whole[changed[0] % whole.length] = changed[1];
      if (cut === null) return whole;
      const at = cut[0] % (whole.length + 1);
      return Buffer.concat([whole.subarray(0, at), whole.subarray(at + cut[1])]);
    });
}

const archive = damaged(fc.array(fc.oneof(header, plain, plain), { maxLength: 6 }));

/** What passes the gate; undefined: it is refused. */
function pass(bytes: Uint8Array, pieceBytes: number): Buffer | undefined {
  return parsed(() => {
    const gate = new Gate({ bytes: null, entries: 100, devices: false });
    const out: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      out.push(...gate.push(bytes.subarray(at, at + pieceBytes)));
    }
    out.push(...gate.end());
    return Buffer.concat(out);
  });
}

/** Reads what passed as simply as can be, and looks at every name. */
function checkPassed(bytes: Buffer): void {
  let pax: ReadonlyMap<string, Uint8Array> = new Map();
  const links = new Set<string>();
  for (let at = 0; ; ) {
    const block = bytes.subarray(at, at + BLOCK_BYTES);
    assert.equal(block.length, BLOCK_BYTES, "no end mark");
    if (isZero(block)) break;
    const { name, linkName, type, size } = parseBlock(block, at);
    const content = bytes.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + size);
    at += BLOCK_BYTES + paddedBytes(size);
    assert("01256x".includes(type), `kind ${type}`);
    if (type === "x") {
      pax = parsePax(content, at);
      continue;
    }
    const text = (word: string): string | undefined =>
      pax.has(word) ? Buffer.from(pax.get(word) ?? []).toString("latin1") : undefined;
    const path = text("GNU.sparse.name") ?? text("path") ?? name;
    checkName(path.replace(/\/$/, ""), links);
    const target = text("linkpath") ?? linkName;
    if (type === "1") checkName(target, links);
    if (type === "2" || (type === "1" && links.has(target))) links.add(path);
    else links.delete(path);
    pax = new Map();
  }
}

function checkName(path: string, links: ReadonlySet<string>): void {
  if (path === ".") return;
  const parts = path.split("/");
  assert(
    parts.every((part) => part !== "" && part !== "." && part !== ".." && !part.includes("\0")),
  );
  for (let n = 1; n < parts.length; n++) {
    const way = parts.slice(0, n).join("/");
    assert(!links.has(way), `through ${way}`);
  }
}

/** What stands before tar. */
export const ARCHIVE_PROPERTIES: Readonly<Record<string, Property>> = {
  "archives pass with safe names only, and the same in pieces of any size": fc.property(
    archive,
    fc.integer({ min: 1, max: 1500 }),
    (bytes, pieceBytes) => {
      const passed = pass(bytes, bytes.length + 1);
      assert.deepEqual(pass(bytes, pieceBytes), passed);
      if (passed === undefined) return;
      checkPassed(passed);
      // What has passed passes again, as it is.
      assert.deepEqual(pass(passed, 4096), passed);
    },
  ),
  "any bytes as an archive": fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
    assert.equal(pass(bytes, 512), undefined);
  }),
  "records of extended headers": fc.property(
    fc.array(fc.tuple(fc.stringMatching(/^[A-Za-z.]{1,20}$/), fc.uint8Array())),
    (records) => {
      const read = parsePax(formatPax(records), 0);
      assert.deepEqual(
        [...read].map(([word, bytes]) => [word, [...bytes]]),
        [...new Map(records)].map(([word, bytes]) => [word, [...bytes]]),
      );
    },
  ),
};
