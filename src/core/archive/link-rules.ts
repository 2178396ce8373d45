import { Failure } from "../failure.ts";
import { refusal } from "./block.ts";
import { shown } from "./bytes.ts";
import type { Entry } from "./entry.ts";

/** Most bytes of the paths of an archive's symbolic links together: they are kept in memory. */
const PATHS_LIMIT_BYTES = 64 * 1024 ** 2;

/**
 * Keeps which paths the archive has made symbolic links, so that nothing is written through one.
 *
 * A link itself may point anywhere: containers have absolute ones, and what they mean is settled inside the container.
 */
export class LinkRules {
  readonly #links = new Set<string>();
  #pathsBytes = 0;

  /**
   * Takes the next entry.
   *
   * @throws {Failure} `invalid_argument` when it leads through a symbolic link, or is a directory in the place of one;
   * `resource_exhausted` when there are too many links.
   */
  check(entry: Entry): void {
    const { kind, path, linkPath } = entry;
    const way = this.#linkOnTheWay(path);
    if (way !== undefined) {
      throw refusal(`entry ${shown(path)} leads through ${shown(way)}, which is a symbolic link`);
    }
    if (kind === "directory" && this.#links.has(path)) {
      throw refusal(`entry ${shown(path)} is a directory, and was a symbolic link before`);
    }
    const linkWay = kind === "hard link" ? this.#linkOnTheWay(linkPath) : undefined;
    if (linkWay !== undefined) {
      throw refusal(
        `entry ${shown(path)} is a hard link to ${shown(linkPath)}, which leads through ${shown(linkWay)}, a symbolic link`,
      );
    }
    // A hard link to a symbolic link is one more.
    const isLink = kind === "symbolic link" || (kind === "hard link" && this.#links.has(linkPath));
    if (isLink) this.#add(path);
    else this.#links.delete(path);
  }

  #add(path: string): void {
    this.#links.add(path);
    this.#pathsBytes += path.length;
    if (this.#pathsBytes > PATHS_LIMIT_BYTES) {
      throw new Failure(
        "resource_exhausted",
        "Cannot unpack the archive: it has more symbolic links than can be kept in mind",
      );
    }
  }

  #linkOnTheWay(path: string): string | undefined {
    if (this.#links.size === 0) return undefined;
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
      const way = path.slice(0, at);
      if (this.#links.has(way)) return way;
    }
    return undefined;
  }
}
