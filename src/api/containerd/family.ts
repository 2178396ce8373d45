import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import type { Snapshot } from "./snapshot.ts";

/** The snapshots that there are. */
interface Known {
  readonly list: () => Iterable<Snapshot>;
  readonly find: (key: string) => Snapshot | undefined;
}

/**
 * Which snapshots are whose children, by key. Counted in memory, and before the first wait of a call: so a parent cannot go
 * while a child of it is being made, nor the other way round.
 */
export class Family {
  readonly #known: Known;
  /** Of each parent its children, and how many calls are making that child now. */
  #children: Map<string, Map<string, number>> | undefined;
  readonly #going = new Set<string>();

  constructor(known: Known) {
    this.#known = known;
  }

  /** Makes a child, as `work` does. @throws {Failure} `not_found` when the parent is being removed. */
  async adding(key: string, parent: string, work: () => Promise<void>): Promise<void> {
    if (parent === "") return work();
    if (this.#going.has(parent)) {
      throw new Failure(
        "not_found",
        `Cannot make snapshot ${quote(key)}: its parent ${quote(parent)} is being removed`,
      );
    }
    this.#count(key, parent, 1);
    try {
      await work();
    } finally {
      this.#count(key, parent, -1);
      this.gone(key, parent);
    }
  }

  /** Removes a snapshot, as `work` does. @throws {Failure} `failed_precondition` when it has children. */
  async removing(key: string, work: () => Promise<void>): Promise<void> {
    const [child] = this.#all().get(key)?.keys() ?? [];
    if (child !== undefined) {
      throw new Failure(
        "failed_precondition",
        `Cannot remove snapshot ${quote(key)}: it is the parent of ${quote(child)}`,
      );
    }
    this.#going.add(key);
    try {
      await work();
    } finally {
      this.#going.delete(key);
    }
  }

  /** A child may be gone, or have another key. */
  gone(key: string, parent: string): void {
    const children = this.#all().get(parent);
    if ((children?.get(key) ?? 0) > 0 || this.#known.find(key)?.parent === parent) return;
    children?.delete(key);
    if (children?.size === 0) this.#all().delete(parent);
  }

  #count(key: string, parent: string, change: number): void {
    const children = this.#all().get(parent) ?? new Map<string, number>();
    this.#all().set(parent, children.set(key, (children.get(key) ?? 0) + change));
  }

  #all(): Map<string, Map<string, number>> {
    if (this.#children !== undefined) return this.#children;
    const all = new Map<string, Map<string, number>>();
    for (const { key, parent } of this.#known.list()) {
      if (parent !== "") all.set(parent, (all.get(parent) ?? new Map()).set(key, 0));
    }
    this.#children = all;
    return all;
  }
}
