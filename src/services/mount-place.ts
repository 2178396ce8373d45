import { Failure } from "../core/failure.ts";
import type { Kernel, MountEntry, MountPlace } from "../core/ports/kernel.ts";

/** What tells the mounts of a volume from others, in any mount table. */
export interface Content {
  /** The one place that they show; absent: it may be several. */
  readonly place?: MountPlace;
  readonly isShownBy: (entry: MountEntry) => boolean;
}

/** Where the content at a canonical path is, however it is mounted: also content that is gone, there may be mounts of it. */
export async function findPlace(path: string, kernel: Kernel): Promise<MountPlace> {
  let mount = await kernel.mountOf(path);
  for (let above = path; mount === undefined && above !== ""; ) {
    above = above.slice(0, above.lastIndexOf("/"));
    mount = await kernel.mountOf(above === "" ? "/" : above);
  }
  if (mount === undefined || !isInside(path, mount.mountPoint)) {
    throw new Failure("internal", `Cannot find the mount that holds ${path}`);
  }
  const rest = path.slice(mount.mountPoint === "/" ? 0 : mount.mountPoint.length);
  return { device: mount.device, root: mount.root === "/" ? rest : mount.root + rest };
}

/** True of a mount that shows the place, or something in it. */
export function shows(entry: MountEntry, place: MountPlace): boolean {
  return entry.device === place.device && isInside(entry.root, place.root);
}

function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}
