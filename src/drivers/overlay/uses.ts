import { Failure } from "../../core/failure.ts";
import type { Kernel, MountEntry, MountNamespace } from "../../core/ports/kernel.ts";
import { mountOf } from "../shared/mount-of.ts";

/** Who has a layer's content mounted: as itself, or as a layer of an overlay. */
export class Uses {
  readonly #kernel: Kernel;
  /** What was seen for each sweep. */
  readonly #seen = new WeakMap<object, Promise<readonly MountNamespace[]>>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Our own mount in which the content is written, by which it can be reached; undefined: there is none. */
  async findWriter(content: string): Promise<MountEntry | undefined> {
    const table = await this.#kernel.mountTable();
    return table.find(
      (entry) =>
        entry.root === "/" &&
        entry.superOptions.includes(`upperdir=${content}`) &&
        // What lies under another mount cannot be reached by its path.
        mountOf(entry.mountPoint, table) === entry,
    );
  }

  /**
   * @throws {Failure} `failed_precondition` when somebody has it mounted, in whatever mount namespace. Not seen: files of
   * a plain bind that are open without a mount.
   * @param sweep For all calls with the same one, the mounts are those at the first.
   */
  async ensureNone(content: string, attempt: string, sweep?: object): Promise<void> {
    const use = await this.find(content, sweep);
    if (use === undefined) return;
    throw new Failure(
      "failed_precondition",
      `${attempt}: it is mounted at ${use}; stop what uses it, and unmount it there`,
    );
  }

  /** Where {@link ensureNone} would find it mounted; undefined: nowhere. */
  async find(content: string, sweep?: object): Promise<string | undefined> {
    for (const { own, pid, command, entries } of await this.#look(sweep)) {
      const entry = entries.find((one) => isOverlayOf(content, one)) ?? findBind(content, entries);
      if (entry === undefined) continue;
      const whose = own ? "" : ` in the mount namespace of process ${pid} (${command})`;
      return `${entry.mountPoint}${whose}`;
    }
    return undefined;
  }

  #look(sweep: object | undefined): Promise<readonly MountNamespace[]> {
    const seen = sweep && this.#seen.get(sweep);
    if (seen !== undefined) return seen;
    const looking = this.#kernel.mountNamespaces();
    if (sweep !== undefined) {
      this.#seen.set(sweep, looking);
      looking.catch(() => this.#seen.delete(sweep));
    }
    return looking;
  }
}

function isOverlayOf(content: string, { type, superOptions }: MountEntry): boolean {
  if (type !== "overlay") return false;
  return superOptions.some((option) => {
    const layers = option.slice(option.indexOf("=") + 1);
    return (
      layers === content || (option.startsWith("lowerdir") && layers.split(":").includes(content))
    );
  });
}

/** A mount whose root the content is, or lies in it. */
function findBind(content: string, entries: readonly MountEntry[]): MountEntry | undefined {
  const home = mountOf(content, entries);
  if (home === undefined) return undefined;
  const below = home.mountPoint === "/" ? content : content.slice(home.mountPoint.length);
  const root = home.root === "/" ? below : `${home.root}${below}`;
  return entries.find(
    (entry) =>
      entry.device === home.device && (entry.root === root || entry.root.startsWith(`${root}/`)),
  );
}
