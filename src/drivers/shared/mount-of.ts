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
  return entry.options.includes("ro") || entry.superOptions.includes("ro");
}

function contains(directory: string, path: string): boolean {
  return directory === "/" || path === directory || path.startsWith(`${directory}/`);
}
