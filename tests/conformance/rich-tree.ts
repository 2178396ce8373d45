import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import koffi from "koffi";
import { makeNode } from "../../src/host/libc.ts";

const libc = koffi.load("libc.so.6");
const set = libc.func("int lsetxattr(void *, str, void *, size_t, int)");
const get = libc.func("int64_t lgetxattr(void *, str, void *, size_t)");
const list = libc.func("int64_t llistxattr(void *, void *, size_t)");
const utimensat = libc.func("int utimensat(int, void *, void *, int)");

const zeroEnded = (path: Buffer): Buffer => Buffer.concat([path, Buffer.from([0])]);

/** Sets an extended attribute, following no link. */
export function setAttribute(path: string, name: string, value: Uint8Array): void {
  if (set(zeroEnded(Buffer.from(path)), name, Buffer.from(value), value.length, 0) !== 0) {
    throw new Error(`setxattr ${name} ${path}: errno ${koffi.errno()}`);
  }
}

/** Sets the time of a change to the nanosecond, following no link. */
export function setTime(path: string, seconds: bigint, nanoseconds: bigint): void {
  const times = Buffer.alloc(32);
  for (const at of [0, 16]) {
    times.writeBigInt64LE(seconds, at);
    times.writeBigInt64LE(nanoseconds, at + 8);
  }
  const AT_FDCWD = -100;
  const AT_SYMLINK_NOFOLLOW = 0x100;
  if (utimensat(AT_FDCWD, zeroEnded(Buffer.from(path)), times, AT_SYMLINK_NOFOLLOW) !== 0) {
    throw new Error(`utimensat ${path}: errno ${koffi.errno()}`);
  }
}

function attributesOf(path: Buffer): string {
  const names = Buffer.alloc(65_536);
  const length = list(zeroEnded(path), names, names.length);
  if (length < 0) throw new Error(`llistxattr ${path}: errno ${koffi.errno()}`);
  return names
    .subarray(0, length)
    .toString()
    .split("\0")
    .filter((name) => name !== "")
    .sort()
    .map((name) => {
      const value = Buffer.alloc(65_536);
      const size = get(zeroEnded(path), name, value, value.length);
      return `${name}=${value.subarray(0, size).toString("hex")}`;
    })
    .join(",");
}

/** POSIX ACL as the kernel keeps it (linux/posix_acl_xattr.h): tag, permissions, id. */
function acl(...entries: readonly (readonly [number, number, number])[]): Buffer {
  const out = Buffer.alloc(4 + entries.length * 8);
  out.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id], index) => {
    out.writeUInt16LE(tag, 4 + index * 8);
    out.writeUInt16LE(permissions, 6 + index * 8);
    out.writeUInt32LE(id, 8 + index * 8);
  });
  return out;
}

const NO_ID = 0xffff_ffff;
const ACL = acl(
  [1, 6, NO_ID],
  [2, 4, 1000],
  [4, 4, NO_ID],
  [8, 2, 70_000],
  [16, 6, NO_ID],
  [32, 4, NO_ID],
);

/** Makes in the empty `root` one of everything that a volume may hold, except sockets. */
export function makeRichTree(root: string): void {
  const at = (name: string): string => `${root}/${name}`;
  for (const name of ["d", "d/empty", "z-last"]) mkdirSync(at(name));
  writeFileSync(at("d/file"), "content");
  writeFileSync(at("empty"), "");
  writeFileSync(at("block"), "b".repeat(512));
  writeFileSync(at("large"), Buffer.alloc(300_000, "large file "));
  writeFileSync(at("grüße"), "UTF-8");
  writeFileSync(at("\u00e9"), "composed");
  writeFileSync(at("e\u0301"), "decomposed");
  writeFileSync(at('line\nfeed\t"quoted" \\ % $HOME *'), "odd");
  writeFileSync(at("-rf"), "dash");
  writeFileSync(Buffer.concat([Buffer.from(at("bad")), Buffer.from([0xff, 0xfe, 0x80])]), "bytes");
  const long = "n".repeat(255);
  mkdirSync(at(long));
  writeFileSync(at(`${long}/${long}`), "long");
  linkSync(at("d/file"), at("hard"));
  linkSync(at(`${long}/${long}`), at("z-last/hard-to-long"));
  for (const [name, target] of [
    ["absolute", "/etc/passwd"],
    ["up", "../../.."],
    ["d/in", "file"],
    ["dangling", "nowhere"],
    ["long-link", "l/".repeat(200)],
  ] as const) {
    symlinkSync(target, at(name));
  }
  linkSync(at("absolute"), at("hard-to-link"));
  const sparse = openSync(at("sparse"), "w");
  writeSync(sparse, "begin", 0);
  writeSync(sparse, "middle", 5_000_000);
  ftruncateSync(sparse, 20_000_000);
  closeSync(sparse);
  const hole = openSync(at("only-a-hole"), "w");
  ftruncateSync(hole, 9_000_000);
  closeSync(hole);
  for (const [name, kind, mode, major, minor] of [
    ["fifo", constants.S_IFIFO, 0o620, 0, 0],
    ["null", constants.S_IFCHR, 0o666, 1, 3],
    ["whiteout", constants.S_IFCHR, 0o000, 0, 0],
    ["disk", constants.S_IFBLK, 0o660, 259, 70_000],
  ] as const) {
    // As glibc's makedev(3) puts the two numbers together.
    makeNode(at(name), kind | mode, (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12));
    chmodSync(at(name), mode);
  }
  lchownSync(at("d/file"), 1000, 70_000);
  lchownSync(at("large"), 3_000_000, 4_294_967_294);
  lchownSync(at("up"), 12, 34);
  chmodSync(at("d/file"), 0o6755);
  chmodSync(at("block"), 0o000);
  chmodSync(at("z-last"), 0o1777);
  setAttribute(at("large"), "user.with=odd%name", Buffer.from([0, 255, 10, 61]));
  setAttribute(at("large"), "user.empty", new Uint8Array());
  setAttribute(at("d"), "trusted.of-directory", Buffer.from("t".repeat(2000)));
  setAttribute(
    at("d/file"),
    "security.capability",
    Buffer.from("0100000200040000000000000000000000000000", "hex"),
  );
  setAttribute(at("absolute"), "trusted.of-link", Buffer.from("link"));
  setAttribute(at("large"), "system.posix_acl_access", ACL);
  setAttribute(at("d"), "system.posix_acl_default", ACL);
  setTime(at("d/file"), -2n, 500_000_000n);
  setTime(at("absolute"), 1_700_000_000n, 123_456_789n);
  setTime(at("large"), 4_000_000_000n, 1n);
  for (const name of ["d/empty", "d", "z-last", long])
    setTime(at(name), 1_600_000_000n, 987_654_321n);
  lutimesSync(at("empty"), 0, 0);
  chmodSync(root, 0o2750);
  lchownSync(root, 999, 998);
  setTime(root, 1_500_000_000n, 42n);
}

/** Every fact about every entry below `root`, a line each, by name. Names are hexadecimal where they are not ASCII. */
export function describeTree(root: string): readonly string[] {
  const lines: string[] = [];
  const names = new Map<bigint, string>();
  const visit = (path: Buffer, name: string): void => {
    const stats = lstatSync(path, { bigint: true });
    const first = names.get(stats.ino) ?? name;
    names.set(stats.ino, first);
    const content = stats.isSymbolicLink()
      ? readlinkSync(path)
      : stats.isFile()
        ? createHash("md5").update(readFileSync(path)).digest("hex")
        : "";
    lines.push(
      [
        ...[name, stats.mode.toString(8), stats.uid, stats.gid, stats.mtimeNs, stats.rdev, content],
        // Holes, as far as any file system would show them.
        ...[
          stats.isDirectory() ? "" : stats.size,
          stats.isFile() && stats.blocks * 512n < stats.size / 2n,
        ],
        ...[
          stats.isDirectory() ? "" : stats.nlink,
          first === name ? "" : `is ${first}`,
          attributesOf(path),
        ],
      ].join(" "),
    );
    if (!stats.isDirectory()) return;
    for (const child of readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare)) {
      const shown = /^[ -~]*$/.test(child.toString("latin1"))
        ? child.toString()
        : child.toString("hex");
      visit(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${shown}`);
    }
  };
  visit(Buffer.from(root), ".");
  return lines;
}
