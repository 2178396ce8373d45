import koffi from "koffi";
import { errnoName } from "./errno.ts";
import { SyscallError } from "./libc.ts";

/*
 * Extended attributes, which Node does not have. For worker threads only. Paths end with a zero byte, and no link in the last part
 * is followed.
 */

const libc = koffi.load("libc.so.6");
const rawList = libc.func("int64_t llistxattr(void *, void *, size_t)");
const rawGet = libc.func("int64_t lgetxattr(void *, void *, void *, size_t)");

/** Linux's limits (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
const LIMIT_BYTES = 65_536;
/** Attributes that are the entry's own, not those of its file system. */
const OWN = /^(user\.|trusted\.|security\.|system\.posix_acl_(access|default)$)/;
/** What a file system without attributes, or an entry that is gone, answers. */
const NONE: ReadonlySet<string> = new Set(["EOPNOTSUPP", "ENOTSUP", "ENOENT", "ENODATA"]);

const names = Buffer.alloc(LIMIT_BYTES);
const value = Buffer.alloc(LIMIT_BYTES);

/** Names and values of all attributes, in order, as one text that is equal when they are; empty: there are none. */
export function attributesText(path: Buffer): string {
  return attributesOf(path)
    .map(([name, value]) => `${name}=${value.toString("hex")}`)
    .join("\0");
}

/** Names (one character a byte) and values of all attributes, in order. @param isWanted Absent: all. */
export function attributesOf(
  path: Buffer,
  isWanted: (name: string) => boolean = () => true,
): readonly (readonly [name: string, value: Buffer])[] {
  const length = check(rawList(path, names, names.length), path);
  if (length === 0) return [];
  const own = names
    .toString("latin1", 0, length)
    .split("\0")
    .filter((name) => OWN.test(name) && isWanted(name));
  return own.sort().map((name) => {
    const zeroEnded = Buffer.from(`${name}\0`, "latin1");
    const size = check(rawGet(path, zeroEnded, value, value.length), path);
    return [name, Buffer.from(value.subarray(0, size))] as const;
  });
}

function check(result: number | bigint, path: Buffer): number {
  if (result >= 0) return Number(result);
  const errno = errnoName(koffi.errno());
  if (NONE.has(errno)) return 0;
  throw new SyscallError("read attributes of", path.toString(), errno);
}
