import { Failure } from "../core/failure.ts";
import type { MountEntry } from "../core/ports/kernel.ts";

/** A place in a file system, however it is mounted: what a bind mount shows as its device and root. */
interface Place {
  readonly device: string;
  readonly root: string;
}

/** The device and the path within it of `path`, found through the last mount that covers it. */
export function locate(path: string, table: readonly MountEntry[]): Place {
  const covers = table.filter((entry) => isInside(path, entry.mountPoint));
  const longest = Math.max(...covers.map((entry) => entry.mountPoint.length));
  const mount = covers.findLast((entry) => entry.mountPoint.length === longest);
  if (mount === undefined)
    throw new Failure("internal", `Cannot find the mount that holds ${path}`);
  const rest = path.slice(mount.mountPoint === "/" ? 0 : mount.mountPoint.length);
  return { device: mount.device, root: mount.root === "/" ? rest : mount.root + rest };
}

/** True of a mount that shows the place, or something in it. */
export function shows(entry: MountEntry, place: Place): boolean {
  return entry.device === place.device && isInside(entry.root, place.root);
}

function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}
