import assert from "node:assert/strict";
import fc from "fast-check";
import type { Entry } from "../../src/core/archive/entry.ts";
import { formatEntry } from "../../src/core/archive/format.ts";
import { parseLayerName } from "../../src/core/archive/layer-name.ts";
import { ArchiveReader } from "../../src/core/archive/reader.ts";
import { SparseMap } from "../../src/core/archive/sparse-map.ts";
import type { Header } from "../conformance/tar-by-hand.ts";
import { damaged, header } from "./archives.ts";
import { type Property, parsed } from "./property.ts";

const NAMES = [
  ...[
    "a",
    "d",
    "d/",
    "d/a",
    "d/d/a",
    "l",
    "l/a",
    "l/l",
    "./d//a",
    "d/../a",
    "/a",
    "A",
    "\u00e9",
    "e\u0301",
  ],
  ...[
    ".wh.a",
    ".wh.d",
    "d/.wh.a",
    "d/.wh..wh..opq",
    ".wh..wh..opq",
    ".wh..wh.plnk/1",
    ".wh.",
    "d/.wh...",
  ],
  ...["./", "..", "../x", "d/../../x", `${"n/".repeat(60)}n`, "n".repeat(255)],
];

/** Entries that have much to do with one another; `outside` is what they may try to come to. */
export function layerEntries(outside: readonly string[]): fc.Arbitrary<readonly Header[]> {
  const name = fc.constantFrom(...NAMES, ...outside);
  const sparse: fc.Arbitrary<Header> = fc
    .tuple(name, fc.nat(3), fc.nat(5000), fc.nat(2000))
    .map(([path, parts, offset, size]) => ({
      name: "x",
      content: `${parts}\n${`${offset}\n${size}\n`.repeat(parts)}`.padEnd(512 + size * parts, "\0"),
      pax: {
        ...{ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": path },
        "GNU.sparse.realsize": String(offset + size),
      },
    }));
  const near: fc.Arbitrary<Header> = fc.record(
    {
      name,
      type: fc.constantFrom("0", "0", "1", "1", "2", "2", "5", "5", "6", "3", "4"),
      link: fc.constantFrom(...NAMES, "/", ".", "../..", ...outside),
      mode: fc.constantFrom(0o644, 0o755, 0, 0o6777, 0o1777),
      content: fc.constantFrom("", "", "text", "x".repeat(3000)),
      major: fc.constantFrom(0, 1, 7),
      minor: fc.constantFrom(0, 3, 250),
      pax: fc.constantFrom(
        ...[{}, {}, { mtime: "1.5" }, { mtime: "-3" }, { "SCHILY.xattr.user.a": "1" }],
        ...[{ "SCHILY.xattr.trusted.overlay.opaque": "y" }, { "SCHILY.xattr.trusted.a": "\0" }],
        { "SCHILY.xattr.system.posix_acl_default": "damaged" },
      ),
    },
    { requiredKeys: ["name", "type", "link"] },
  );
  const one = fc.oneof({ weight: 8, arbitrary: near }, { weight: 1, arbitrary: sparse });
  return fc.array(one, { maxLength: 8 });
}

/** Of all dialects, and damaged. */
const layer = fc.oneof(
  { weight: 3, arbitrary: damaged(layerEntries(["/etc/passwd", "../../etc/passwd"])) },
  { weight: 1, arbitrary: damaged(fc.array(header, { maxLength: 4 })) },
);

interface Read {
  readonly entry: Entry;
  bytes: number;
}

/** What is in a layer; undefined: it is refused. */
function read(bytes: Uint8Array, pieceBytes: number): readonly Read[] | undefined {
  return parsed(() => {
    const all: Read[] = [];
    let map: SparseMap | null = null;
    const reader = new ArchiveReader(
      { bytes: null, entries: 1000, form: "layer" },
      {
        entry: (entry) => {
          const last = all.at(-1);
          assert(last === undefined || last.bytes === last.entry.size, "content is missing");
          checkEntry(entry);
          all.push({ entry, bytes: 0 });
          map =
            entry.sparseBytes === null ? null : new SparseMap(entry.size, entry.sparseBytes, true);
        },
        content: (piece) => {
          const last = all.at(-1) as Read;
          last.bytes += piece.length;
          if (map?.push(piece) === true) {
            checkParts(map, last.entry);
            map = null;
          }
        },
        padding: (piece) => assert(piece.length < 512),
      },
    );
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      reader.push(bytes.subarray(at, at + pieceBytes));
    }
    reader.end();
    return all;
  });
}

function checkEntry(entry: Entry): void {
  checkPath(entry.path);
  if (entry.kind === "hard link") checkPath(entry.linkPath);
  const name = parseLayerName(entry.path);
  if (name.says === "entry" || name.says === "whiteout") {
    assert(!["", ".", ".."].includes(name.name) && !/[/\0]/.test(name.name));
  }
  if ("directory" in name) checkPath(name.directory);
  for (const [keyword] of entry.attributes)
    assert.doesNotMatch(keyword, /trusted\.overlay\.|user\.overlay\.|security\.selinux$/);
}

function checkPath(path: string): void {
  assert(path.length <= 4095 && !path.includes("\0"));
  if (path === "") return;
  for (const part of path.split("/")) {
    assert(!["", ".", ".."].includes(part) && part.length <= 255, `part ${part}`);
  }
}

/** Parts lie in the file, one behind the other, and are what is stored. */
function checkParts({ parts, mapBytes }: SparseMap, { size, sparseBytes }: Entry): void {
  let end = 0;
  let stored = Math.ceil(mapBytes / 512) * 512;
  for (const [offset, bytes] of parts) {
    assert(offset >= end);
    end = offset + bytes;
    stored += bytes;
  }
  assert(end <= (sparseBytes ?? 0) && stored === size);
}

/** What stands before the disk when layers are applied. */
export const LAYER_PROPERTIES: Readonly<Record<string, Property>> = {
  "layers are read with safe names only, and the same in pieces of any size": fc.property(
    layer,
    fc.integer({ min: 1, max: 1500 }),
    (bytes, pieceBytes) => {
      const whole = read(bytes, bytes.length + 1);
      assert.deepEqual(read(bytes, pieceBytes), whole);
      // What we would write of it is read as it was.
      for (const { entry } of whole ?? []) {
        if (entry.size > 0 || entry.kind === "hard link") continue;
        assert.deepEqual(read(formatEntry(entry), 4096), [{ entry, bytes: 0 }]);
      }
    },
  ),
};
