import { gzipSync, zstdCompressSync } from "node:zlib";
import { archive, block, END, entry, type Header, records } from "./tar-by-hand.ts";

/** An archive that must be refused. */
export interface Attack {
  readonly bytes: Uint8Array;
  /** Part of the message. */
  readonly says: string;
  /** `invalid_argument` unless told. */
  readonly code?: string;
  readonly limitBytes?: number;
  readonly limitEntries?: number;
  readonly devices?: boolean;
}

const file = (name: string, content = "evil"): Header => ({ name, content });
const symlink = (name: string, link: string): Header => ({ name, type: "2", link });
const hardlink = (name: string, link: string): Header => ({ name, type: "1", link });
const good = file("good", "good");
const whole = archive(good, file("large", "x".repeat(100_000)));
const MIB = 1024 ** 2;

/** GNU's number in bytes instead of digits. */
function binary(value: bigint, width = 12): Uint8Array {
  const out = Buffer.alloc(width);
  for (let at = width - 1, rest = value; at >= 0; at--, rest >>= 8n) out[at] = Number(rest & 255n);
  if (value >= 0n) out[0] = 0x80;
  return out;
}

function sparse(map: string, stored: string, realsize: string, more = {}): Header {
  const content = Buffer.concat([Buffer.alloc(512), Buffer.from(stored)]);
  content.write(map);
  const version = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0" };
  const pax = { ...version, "GNU.sparse.name": "hole", "GNU.sparse.realsize": realsize, ...more };
  return { name: "GNUSparseFile.0/hole", content, pax };
}

let placeless: Readonly<Record<string, Attack>> | undefined;
/** Those that name no place, made once: some are large. */
function withoutPlace(): Readonly<Record<string, Attack>> {
  placeless ??= { ...kinds(), ...damage(), ...bombs() };
  return placeless;
}

/** @param canary A file outside the directory, by an absolute path. @param up The same by `..` from inside it. */
export function attacks(canary: string, up: string): Readonly<Record<string, Attack>> {
  const outside = canary.slice(0, canary.lastIndexOf("/"));
  return {
    ...namesThatLeave(canary, up, outside),
    ...linksThatLead(canary, up, outside),
    ...dialects(up),
    ...withoutPlace(),
  };
}

function namesThatLeave(canary: string, up: string, outside: string): Record<string, Attack> {
  return {
    "a name that goes up": {
      bytes: archive(good, file(up)),
      says: `entry "${up}" has ".." in its name`,
    },
    "a name that goes down and up": {
      bytes: archive(file("a/../../canary")),
      says: 'entry "a/../../canary" has ".." in its name',
    },
    "a name that is only dots": {
      bytes: archive({ name: "..", type: "5" }),
      says: '".." has ".."',
    },
    "an absolute name": {
      bytes: archive({ ...file("x"), pax: { path: canary } }),
      says: `entry "${canary}" has an absolute path as its name; make the archive with paths relative`,
    },
    "an absolute name of slashes": { bytes: archive(file("//etc/x")), says: "absolute path" },
    "an extended name that goes up under a good one": {
      bytes: archive({ ...file("fine"), pax: { path: up } }),
      says: '".." in its name',
    },
    "a GNU long name that goes up": {
      bytes: archive({ name: "././@LongLink", type: "L", content: `${up}\0` }, file("fine")),
      says: '".." in its name',
    },
    "a prefix that goes up": {
      bytes: archive({ ...file("canary"), prefix: "../outside" }),
      says: '"../outside/canary" has ".."',
    },
    "a sparse name that goes up": {
      bytes: archive(sparse("1\n0\n4\n", "evil", "4", { "GNU.sparse.name": up })),
      says: '".." in its name',
    },
    "a name with a zero byte": {
      bytes: archive({ ...file("fine"), pax: { path: "a\0b" } }),
      says: 'entry "a\\000b" has a zero byte in its name',
    },
    "a name of 5,000 bytes": {
      bytes: archive({ ...file("x"), pax: { path: `${"d/".repeat(2500)}f` } }),
      says: "more than 4095 bytes",
    },
    "a part of 256 bytes": {
      bytes: archive({ ...file("x"), pax: { path: "n".repeat(256) } }),
      says: "has a part over 255 bytes",
    },
    "no name": { bytes: archive(file("")), says: 'entry "" has nothing as its name' },
    "a root that is a link": {
      bytes: archive(symlink("./", outside)),
      says: "is the root, and a symbolic link",
    },
    "control characters in a name": {
      bytes: archive(file("../\x1b[2J")),
      says: 'entry "../\\033[2J" has ".."',
    },
  };
}

function linksThatLead(canary: string, up: string, outside: string): Record<string, Attack> {
  const through = (link: string): Attack => ({
    bytes: archive(symlink("way", link), file("way/canary")),
    says: 'entry "way/canary" leads through "way", which is a symbolic link',
  });
  return {
    "a hard link to an absolute path": {
      bytes: archive(hardlink("h", canary)),
      says: 'entry "h" has an absolute path as the name it links to',
    },
    "a hard link that goes up": {
      bytes: archive(hardlink("h", up)),
      says: 'entry "h" has ".." in the name it links to',
    },
    "an extended hard link that goes up": {
      bytes: archive(good, { ...hardlink("h", "good"), pax: { linkpath: up } }),
      says: '".." in the name it links to',
    },
    "a hard link to the root": {
      bytes: archive(hardlink("h", "./")),
      says: "hard link to the root",
    },
    "a hard link to what is not there": {
      bytes: archive(hardlink("h", "absent")),
      says: "h: Cannot hard link to 'absent': No such file or directory",
    },
    "an entry through an absolute symbolic link": through(outside),
    "an entry through a symbolic link that goes up": through("../outside"),
    "an entry through a symbolic link that stays inside": {
      bytes: archive({ name: "d/", type: "5" }, symlink("way", "d"), file("way/x")),
      says: "leads through",
    },
    "an entry through a link of a link": {
      bytes: archive(symlink("a", outside), hardlink("b", "a"), file("b/canary")),
      says: 'entry "b/canary" leads through "b"',
    },
    "an entry through a link, its name written otherwise": {
      bytes: archive(symlink("./way", outside), file("way/.//./canary")),
      says: 'leads through "way"',
    },
    "a hard link through a symbolic link": {
      bytes: archive(symlink("way", outside), hardlink("h", "way/canary")),
      says: 'entry "h" is a hard link to "way/canary", which leads through "way"',
    },
    "a directory in the place of a symbolic link": {
      bytes: archive(symlink("way", outside), { name: "way/", type: "5" }, file("way/canary")),
      says: 'entry "way" is a directory, and was a symbolic link before',
    },
    "an entry below a file": {
      bytes: archive(good, file("good/below")),
      says: "good/below: Cannot open: Not a directory",
    },
  };
}

function kinds(): Record<string, Attack> {
  return {
    "a block device": {
      bytes: archive({ name: "disk", type: "4", major: 254 }),
      says: 'entry "disk" is a block device; device nodes are made only when that is asked for',
    },
    "a character device": {
      bytes: archive({ name: "mem", type: "3", major: 1, minor: 1 }),
      says: 'entry "mem" is a character device',
    },
    "a socket": { bytes: archive({ name: "run/s", type: "s" }), says: 'entry "run/s" is a socket' },
    "an unknown kind": { bytes: archive({ name: "q", type: "Q" }), says: 'is of kind "Q"' },
    "a part of a volume set": {
      bytes: archive({ name: "m", type: "M" }),
      says: "is the rest of a file",
    },
    "a directory with content": {
      bytes: archive({ name: "d", type: "5", content: "x" }),
      says: 'entry "d" is a directory, and has content',
    },
    "a hard link with content": {
      bytes: archive(good, { ...hardlink("h", "good"), content: "other" }),
      says: "is a hard link, and has content",
    },
    "an owner that means none": {
      bytes: archive({ ...good, pax: { uid: "4294967295" } }),
      says: "has an owner out of range",
    },
    "an ACL by name": {
      bytes: archive({ ...good, pax: { "SCHILY.acl.access": "user::rw-\nuser:mallory:rwx\n" } }),
      says: "has an ACL with",
    },
  };
}

function dialects(up: string): Record<string, Attack> {
  return {
    "two extended headers": {
      bytes: archive(
        { name: "p", type: "x", content: records({ path: "a" }) },
        { ...good, pax: { path: up } },
      ),
      says: "an extended header of its kind stands before",
    },
    "a global name": {
      bytes: archive({ name: "g", type: "g", content: records({ path: up }) }, good),
      says: 'its global header sets "path"',
    },
    "an old sparse file": {
      bytes: archive({ name: "s", type: "S" }),
      says: "in GNU tar's old way",
    },
    "a sparse file of version 0.1": {
      bytes: archive({ ...good, pax: { "GNU.sparse.map": "0,4", "GNU.sparse.name": up } }),
      says: 'uses "GNU.sparse.map"',
    },
    "a sparse map beyond the file": {
      bytes: archive(sparse("1\n1000\n4\n", "evil", "4")),
      says: 'entry "hole" has a map of its holes that is wrong',
    },
    "a sparse map of a billion parts": {
      bytes: archive(sparse("1000000000\n", "evil", "4")),
      says: "a map of its holes that is wrong",
    },
    "a sparse map that never ends": {
      bytes: archive(sparse("9".repeat(510), "evil", "4")),
      says: "a map of its holes that is wrong",
    },
    "a file kept elsewhere, in star's way": {
      bytes: archive({ ...good, pax: { "SCHILY.realsize": "99999" } }),
      says: 'uses "SCHILY.realsize"',
    },
    "a name in another character set": {
      bytes: archive({ ...good, pax: { hdrcharset: "ISO-IR 8859 1 1998" } }),
      says: "only UTF-8 and BINARY",
    },
  };
}

function damage(): Record<string, Attack> {
  const text = Buffer.from("this is no archive at all. ".repeat(100));
  return {
    "no archive": { bytes: text, says: "it is neither a tar nor one compressed by zstd or gzip" },
    nothing: { bytes: new Uint8Array(), says: "it is empty" },
    "one byte": { bytes: new Uint8Array([0x1f]), says: "it ends after 1 bytes" },
    "half a header": { bytes: whole.subarray(0, 300), says: "in the middle of a header" },
    "half a file": { bytes: whole.subarray(0, 50_000), says: 'in the middle of entry "large"' },
    "no end mark": { bytes: whole.subarray(0, -1024), says: "without an end mark" },
    "half an end mark": { bytes: whole.subarray(0, -512), says: "its end mark" },
    "a wrong checksum": {
      bytes: archive(good, { ...file("x"), checksumError: 1 }),
      says: "it is damaged at byte 1024",
    },
    "garbage after the end": {
      bytes: Buffer.concat([whole, Buffer.from("garbage")]),
      says: "something follows after its end",
    },
    "a second archive after the end": {
      bytes: Buffer.concat([whole, whole]),
      says: "something follows after its end",
    },
    "an entry after half an end mark": {
      bytes: archive(good, Buffer.alloc(512), file("x")),
      says: "something follows half an end mark",
    },
    "an extended header for nothing": {
      bytes: archive({ name: "p", type: "x", content: records({ path: "a" }) }),
      says: "it ends where an entry was announced",
    },
    "damaged records": {
      bytes: archive({ name: "p", type: "x", content: "12 path=a\n" }, good),
      says: "the extended header at byte",
    },
    "a size below zero": {
      bytes: archive({ ...good, size: Buffer.from("ff".repeat(12), "hex") }),
      says: 'entry "good" has a size below zero',
    },
    "a size of 2^70": {
      bytes: archive({ ...good, size: binary(1n << 70n) }),
      says: "damaged at byte",
    },
    "zstd that is cut off": {
      bytes: zstdCompressSync(whole).subarray(0, -20),
      says: "its zstd compression is damaged or cut off",
    },
    "gzip that is cut off": {
      bytes: gzipSync(whole).subarray(0, -20),
      says: "its gzip compression is damaged or cut off",
    },
    "gzip with garbage behind": {
      bytes: Buffer.concat([gzipSync(whole), Buffer.from("garbage")]),
      says: "its gzip compression is damaged or cut off",
    },
    "gzip of no archive": { bytes: gzipSync(text), says: "it is neither a tar" },
  };
}

function bombs(): Record<string, Attack> {
  return {
    "more bytes than allowed": {
      bytes: archive(good, file("large", "x".repeat(2 * MIB))),
      limitBytes: MIB,
      code: "resource_exhausted",
      says: "more than 1048576 bytes",
    },
    "a header that announces more than allowed": {
      bytes: Buffer.concat([entry(good), block({ name: "huge", size: 2 ** 32 })]),
      limitBytes: MIB,
      code: "resource_exhausted",
      says: "more than 1048576 bytes",
    },
    "a zstd bomb": {
      bytes: zstdCompressSync(archive(file("zeros", "\0".repeat(64 * MIB)))),
      limitBytes: 8 * MIB,
      code: "resource_exhausted",
      says: "more than 8388608 bytes",
    },
    "more entries than allowed": {
      bytes: archive(...Array.from({ length: 101 }, (_, n) => file(`f${n}`))),
      limitEntries: 100,
      code: "resource_exhausted",
      says: "more than 100 entries",
    },
    "an extended header of 10 MB": {
      bytes: archive({ ...good, pax: { comment: "x".repeat(10_000_000) } }),
      says: "at most 4194304 are read",
    },
    "a long name of 10 MB": {
      bytes: archive({ name: "L", type: "L", content: "x".repeat(10_000_000) }, good),
      says: "at most 8192 are read",
    },
    "a zstd bomb of zeros after the end": {
      bytes: zstdCompressSync(Buffer.concat([whole, Buffer.alloc(64 * MIB), END])),
      says: "zeros without end follow its end",
    },
  };
}
