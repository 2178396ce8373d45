import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { Files } from "../../core/ports/files.ts";
import type { DriverTraits } from "../../core/ports/storage-driver.ts";
import type { LayerRecord } from "./layer-record.ts";
import { hasNoRoots } from "./layer-rules.ts";
import type { Shelf, ShelvedLayer } from "./shelf.ts";

/** Where a layer's root is below its content; undefined: at its top. */
export type RecordedRoot = Pick<LayerRecord, "root">;

/** Where a layer's root is. @param content Where its content is. */
export function rootOf(content: string, { root }: RecordedRoot): string {
  return root === undefined ? content : `${content}/${root}`;
}

/**
 * The root of a new layer that is made of its parent's whole content.
 *
 * @param directory Which directory below the parent's root it is to be; undefined: that root.
 * @throws {Failure} `invalid_argument` when it is none, or a link is on the way to it; `unimplemented` without the trait.
 */
export async function rootFrom(
  files: Files,
  { rootedClones }: DriverTraits,
  shelf: Shelf,
  parent: LayerId | null,
  directory?: string,
): Promise<RecordedRoot> {
  if (directory !== undefined && rootedClones !== true) throw hasNoRoots();
  // That it must be there is seen to when it is copied.
  const found = parent === null ? undefined : await shelf.find(parent);
  if (parent === null || found === undefined) return {};
  const { root } = found.record;
  if (directory === undefined) return root === undefined ? {} : { root };
  let path = rootOf(shelf.content(parent), found.record);
  for (const part of directory.split("/")) {
    path += `/${part}`;
    const entry = await files.stat(path);
    if (entry?.kind === "directory" && part !== "" && part !== "." && part !== "..") continue;
    throw new Failure("invalid_argument", `Cannot use ${directory} as a root: it is no directory`);
  }
  return { root: root === undefined ? directory : `${root}/${directory}` };
}

/** Removes what is in an active layer's content beside its root. @param found Absent: there is nothing to remove. */
export async function trimContent(
  files: Files,
  content: string,
  found: ShelvedLayer | undefined,
  signal: AbortSignal,
): Promise<void> {
  const root = found?.info.kind === "active" ? found.record.root : undefined;
  let directory = content;
  for (const part of root?.split("/") ?? []) {
    for (const name of await files.list(directory)) {
      if (name !== part) await files.removeTree(`${directory}/${name}`, signal);
    }
    directory += `/${part}`;
  }
}
