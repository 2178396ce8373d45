import type { WalkedDirectory } from "./layer-walk.ts";
import type { EntryStat } from "./libc-layer.ts";

/** A name that is as it was. */
interface Unchanged {
  readonly path: string;
  readonly directory: WalkedDirectory;
}

/**
 * Files with several names, of a tree and of its parent: which names belong together in both. Memory grows with these names.
 *
 * 1. In the layer each hard link leads to a file of the layer, never to one of the parent: engines that unpack a layer apart
 *    from its parent have no other.
 */
export class LayerLinks {
  readonly #wasOf = new Map<string, string>();
  readonly #isOf = new Map<string, string>();
  readonly #unchanged = new Map<string, Unchanged[]>();
  readonly #targets = new Map<string, string>();

  /** Whether a name that is equal otherwise belongs to the same file as other names that are equal, in both trees. */
  isKept(was: EntryStat, is: EntryStat): boolean {
    const before = was.identity;
    const after = is.identity;
    const fits =
      (this.#wasOf.get(after) ?? before) === before && (this.#isOf.get(before) ?? after) === after;
    if (!fits) return false;
    if (is.nlink > 1) this.#wasOf.set(after, before);
    if (was.nlink > 1) this.#isOf.set(before, after);
    return true;
  }

  /** The path in the layer that is this file; undefined: none is. */
  target(key: string): string | undefined {
    return this.#targets.get(key);
  }

  /** Keeps an unchanged name, in case another of its file changes. */
  remember(key: string, path: string, directory: WalkedDirectory): void {
    const others = this.#unchanged.get(key);
    if (others === undefined) this.#unchanged.set(key, [{ path, directory }]);
    else others.push({ path, directory });
  }

  /** The file is in the layer as `path`. @returns Its unchanged names so far. */
  tell(key: string, path: string): readonly Unchanged[] {
    this.#targets.set(key, path);
    const others = this.#unchanged.get(key) ?? [];
    this.#unchanged.delete(key);
    return others;
  }
}
