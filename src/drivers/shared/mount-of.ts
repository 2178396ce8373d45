import type { MountEntry } from "../../core/ports/kernel.ts";

/** The mount that a lookup of `path` ends in: `path` is canonical and absolute. */
export function mountOf(path: string, entries: readonly MountEntry[]): MountEntry | undefined {
  const ids = new Set(entries.map(({ id }) => id));
  let found: MountEntry | undefined;
  let candidates = entries.filter(
    (entry) =>
      entry.mountPoint === "/" && (!ids.has(entry.parentId) || entry.parentId === entry.id),
  );
  // Down from the root as the kernel walks: of the mounts on this mount, the first that the path comes by.
  while (candidates.length > 0) {
    const next: MountEntry = candidates.reduce((a, b) =>
      b.mountPoint.length < a.mountPoint.length ? b : a,
    );
    found = next;
    candidates = entries.filter(
      (entry) =>
        entry.parentId === next.id && entry.id !== next.id && contains(entry.mountPoint, path),
    );
  }
  return found;
}

/** True when a mount, or its whole file system, takes no writes. */
export function isReadOnly(entry: MountEntry): boolean {
  return entry.options.includes("ro") || entry.superOptions.includes("ro") || isBroken(entry);
}

/** True when a file system was mounted for writing, and takes none any more since an error. */
export function isBroken({ options, superOptions }: MountEntry): boolean {
  // ext4 says the latter two since 6.15, where it was "ro" before.
  const words = ["emergency_ro", "shutdown"];
  return (
    words.some((word) => superOptions.includes(word)) ||
    (options.includes("rw") && superOptions.includes("ro"))
  );
}

function contains(directory: string, path: string): boolean {
  return directory === "/" || path === directory || path.startsWith(`${directory}/`);
}
