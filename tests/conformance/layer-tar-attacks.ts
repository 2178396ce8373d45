import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { FailureCode } from "../../src/core/failure.ts";
import type { LayerTarLimits } from "../../src/core/ports/layer-tar.ts";
import { streamOf } from "./archive.ts";
import { archive, block, entry, type Header, records } from "./tar-by-hand.ts";

/** A layer that is not to be applied. */
interface LayerAttack {
  readonly tar: () => AsyncIterable<Uint8Array>;
  readonly code: FailureCode;
  /** What the message must name. */
  readonly names: string;
  readonly limits?: LayerTarLimits;
}

const DIRECTORY = { type: "5", mode: 0o755 } as const;

/** @param canary Absolute path of a file outside. */
export function layerAttacks(canary: string): Readonly<Record<string, LayerAttack>> {
  const up = `${"../".repeat(12)}${canary.slice(1)}`;
  const outside = canary.slice(0, canary.lastIndexOf("/"));
  const whole = (...parts: readonly (Header | Buffer)[]) => streamOf(archive(...parts));
  const refused = (names: string, ...parts: readonly (Header | Buffer)[]): LayerAttack => ({
    tar: () => whole(...parts),
    code: "invalid_argument",
    names,
  });
  const bomb = (extended: string, bytes: number): Buffer =>
    entry({ name: "PaxHeader", type: extended, content: Buffer.alloc(bytes, "1") });
  return {
    "a name that leads up": refused("../", { name: up, content: "dead" }),
    "a name that leads up later": refused("a/../../", { name: `a/../${up}`, content: "dead" }),
    "a name that leads up, in an extended header": refused("../", {
      ...{ name: "x", pax: { path: up }, content: "dead" },
    }),
    "a hard link that leads up": refused('"x"', { name: "x", type: "1", link: up }),
    "a hard link that leads out": refused('"x"', { name: "x", type: "1", link: canary }),
    "a hard link through a link out": refused(
      '"x"',
      { name: "out", type: "2", link: outside },
      { name: "x", type: "1", link: "out/canary" },
    ),
    "a hard link to nothing": refused('"x"', { name: "x", type: "1", link: "nothing" }),
    "a hard link to itself": refused('"x"', { name: "x", type: "1", link: "x" }),
    "a hard link to what it replaces": refused(
      '"d"',
      { name: "d/f", content: "x" },
      { name: "d", type: "1", link: "d/f" },
    ),
    "a hard link to a directory": refused(
      '"x"',
      { name: "d", ...DIRECTORY },
      { name: "x", type: "1", link: "d" },
    ),
    "a hard link to the root": refused('"x"', { name: "x", type: "1", link: "./" }),
    "a link to itself on the way": refused(
      '"l/x"',
      { name: "l", type: "2", link: "l" },
      { name: "l/x", content: "x" },
    ),
    "links in a ring on the way": refused(
      '"one/x"',
      { name: "one", type: "2", link: "two" },
      { name: "two", type: "2", link: "/one" },
      { name: "one/x", content: "x" },
    ),
    "a way through a link to nothing": refused(
      '"l"',
      { name: "l", type: "2", link: `${canary}.new` },
      { name: "l/x", content: "x" },
    ),
    "a way through a link out, which is inside for it": refused(
      '"l"',
      { name: "l", type: "2", link: canary },
      { name: "l/x", content: "dead" },
    ),
    "a way through a file": refused('"f"', { name: "f" }, { name: "f/x" }),
    "a whiteout of no name": refused('"d/.wh."', { name: "d/.wh." }),
    "a whiteout of the directory itself": refused('"d/.wh.."', { name: "d/.wh.." }),
    "a whiteout of the parent": refused('"d/.wh..."', { name: "d/.wh..." }),
    "an entry in a whiteout": refused('".wh.d/x"', { name: ".wh.d/x" }),
    "the root as a file": refused('"./"', { name: "./", type: "2", link: outside }),
    "a socket": refused('"s"', { name: "s", type: "s" }),
    "a kind that nobody knows": refused('"k"', { name: "k", type: "Q" }),
    "a name of zero bytes": refused("zero byte", { name: "x", pax: { path: "a\0b" } }),
    "a name that is too long": refused("255", { name: "x", pax: { path: "n".repeat(256) } }),
    "a path that is too long": refused("4095", { name: "x", pax: { path: "n/".repeat(3000) } }),
    "a link that is too long": refused('"x"', {
      name: "x",
      type: "2",
      pax: { linkpath: "l".repeat(5000) },
    }),
    "an owner out of range": refused('"x"', { name: "x", pax: { uid: "4294967295" } }),
    "a size below zero": refused('"x"', { name: "x", size: Buffer.alloc(12, 0xff) }),
    "a map of holes that leads out": refused('"x"', {
      name: "x",
      content: "1\n9000000000000\n512\n",
      pax: {
        ...{ "GNU.sparse.major": "1", "GNU.sparse.minor": "0" },
        ...{ "GNU.sparse.name": "x", "GNU.sparse.realsize": "512" },
      },
    }),
    "a header of ten megabytes": refused("extended header", bomb("x", 10 * 1024 ** 2), {
      name: "x",
    }),
    "a name of ten megabytes": refused("extended header", bomb("L", 10 * 1024 ** 2), { name: "x" }),
    "a global header that renames everything": refused(
      "global header",
      entry({ name: "g", type: "g", content: records({ path: up }) }),
      { name: "x" },
    ),
    "two extended headers": refused("extended header", bomb("L", 5), bomb("L", 5), { name: "x" }),
    gzip: { ...refused("no plain tar"), tar: () => streamOf(gzipSync(randomBytes(5000))) },
    text: { ...refused("no plain tar"), tar: () => streamOf(Buffer.alloc(2000, "text")) },
    "a wrong checksum": refused("damaged", { name: "a" }, { name: "x", checksumError: 1 }),
    "an end within a file": {
      ...refused('"x"'),
      tar: () => streamOf(entry({ name: "x", content: "y".repeat(2000) }).subarray(0, 1000)),
    },
    "an end within a header": {
      ...refused("a header"),
      tar: () => streamOf(entry({ name: "x" }).subarray(0, 300)),
    },
    "an end after an extended header": {
      ...refused("a part is missing"),
      tar: () => streamOf(bomb("L", 100)),
    },
    "something behind the end": {
      ...refused("follows after its end"),
      tar: () => streamOf(Buffer.concat([archive({ name: "x" }), entry({ name: up })])),
    },
    "more entries than allowed": {
      ...refused("entries"),
      code: "resource_exhausted",
      limits: { tarBytes: null, entries: 10 },
      tar: () => whole(...Array.from({ length: 11 }, (_, n) => ({ name: `f${n}` }))),
    },
    "more bytes than allowed": {
      ...refused("bytes"),
      code: "resource_exhausted",
      limits: { tarBytes: 100_000 },
      tar: () => whole({ name: "x", content: Buffer.alloc(200_000) }),
    },
    "a file that says it has more bytes than allowed": {
      ...refused("bytes"),
      code: "resource_exhausted",
      limits: { tarBytes: 100_000 },
      tar: () => streamOf(block({ name: "x", size: 8 * 1024 ** 3 - 1 })),
    },
    "zeros without end": {
      ...refused("zeros without end"),
      tar: async function* () {
        yield archive({ name: "x" });
        for (;;) yield Buffer.alloc(1024 ** 2);
      },
    },
  };
}
