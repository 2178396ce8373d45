import { type BigIntStats, fstatSync } from "node:fs";
import { entriesOf, OPEN_DIRECTORY } from "./directory-entries.ts";
import { close, HERE, listAttributes, nameOf, openAt, readAttribute } from "./libc-at.ts";

/** Attributes that the kernel (6.18: fs/overlayfs/overlayfs.h) gives to what is mounted as an upper directory. */
const BOOKS: ReadonlySet<string> = new Set(
  ["uuid", "impure", "origin"].map((name) => `trusted.overlay.${name}\0`),
);
/** Attributes that are not copied from the model: `makeDirectoryLike`. */
const OVERLAYS = "trusted.overlay.";

/** `Files.isUntouchedLike`. */
export function isUntouchedLike(path: string, model: string): boolean {
  const one = openAt(HERE, nameOf(path), OPEN_DIRECTORY, path);
  try {
    const other = openAt(HERE, nameOf(model), OPEN_DIRECTORY, model);
    try {
      const [mine, its] = [one, other].map((fd) => fstatSync(fd, { bigint: true }));
      if (mine === undefined || its === undefined || !isEqual(mine, its)) return false;
      for (const _entry of entriesOf(one, path)) return false;
      return hasAttributesOf({ fd: one, path }, { fd: other, path: model });
    } finally {
      close(other);
    }
  } finally {
    close(one);
  }
}

interface Held {
  readonly fd: number;
  readonly path: string;
}

function isEqual(a: BigIntStats, b: BigIntStats): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.mtimeNs === b.mtimeNs;
}

function hasAttributesOf(one: Held, model: Held): boolean {
  const mine = listAttributes(one.fd, one.path).filter(
    (name) => !BOOKS.has(name.toString("latin1")),
  );
  const its = listAttributes(model.fd, model.path).filter(
    (name) => !name.toString("latin1").startsWith(OVERLAYS),
  );
  if (mine.length !== its.length) return false;
  return its.every((name) => {
    const value = readAttribute(model.fd, name, model.path);
    const own = readAttribute(one.fd, name, one.path);
    return value !== undefined && own?.equals(value) === true;
  });
}
