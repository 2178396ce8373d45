import { Failure } from "../core/failure.ts";
import type { VolumeId } from "../core/id.ts";
import { quote } from "../core/name.ts";
import type { Files } from "../core/ports/files.ts";
import type { Kernel, MountEntry } from "../core/ports/kernel.ts";
import type { Log } from "../core/ports/log.ts";
import type { Store } from "../core/ports/store.ts";
import { isAlone, isReader, isSameAccess, type VolumeAccess } from "../core/volume/access.ts";
import { showsAnyNode } from "../core/volume/device-node.ts";
import type { Volume } from "../core/volume/volume.ts";
import { clientHint } from "./mount-hints.ts";
import type { Mounts } from "./mounts.ts";
import type { Volumes } from "./volumes.ts";

/*
 * Volumes at paths that a client chose (the Container Storage Interface): staged at one, and published from there at
 * others. Invariants:
 * 1. What is mounted the mount table says. A record tells how it was asked for, is written before the mount is made,
 *    and means nothing without one.
 * 2. Nothing is unmounted, and no directory removed, that may be somebody else's: a mount must be known to show the
 *    volume, or be recorded while that cannot be told.
 */

/** Where a volume was asked for, and how. */
export interface Target {
  readonly path: string;
  /** `staging`: others are published from it. */
  readonly kind: "staging" | "published";
  readonly access: VolumeAccess;
}

/** How often one path is unmounted before somebody must look. */
const UNMOUNTS_LIMIT = 64;

/** What {@link Targets} works with. */
interface TargetsParts {
  /** Survives a restart of the daemon but not of the machine. */
  readonly runtime: Store;
  readonly volumes: Volumes;
  readonly mounts: Mounts;
  readonly kernel: Kernel;
  readonly files: Files;
  readonly log: Log;
}

/** The caller does one piece of work on a volume at a time, and gives paths that are canonical but for their last part. */
export class Targets {
  readonly #parts: TargetsParts;

  constructor(parts: TargetsParts) {
    this.#parts = parts;
  }

  /**
   * Mounts a volume at a directory that is there; one that is a block device, at a file in it. The same again is success.
   *
   * @throws {Failure} `not_found` for the volume; `already_exists` when it is there otherwise; `failed_precondition`
   * when something else is mounted there, or it is no directory; what mounting says.
   */
  async stage(
    volume: Volume,
    directory: string,
    access: VolumeAccess,
    signal: AbortSignal,
  ): Promise<void> {
    const { volumes, mounts, kernel } = this.#parts;
    const path = stagedAt(volume, directory);
    const attempt = `Cannot stage volume "${volume.name}" at ${quote(directory)}`;
    const target: Target = { path, kind: "staging", access };
    if (await this.#isThere(volume, target, attempt, signal)) return;
    await this.#ensureKind("directory", directory, attempt, "make it first");
    await this.#ensureAlone(volume, target, attempt, signal);
    const hint = clientHint(path);
    try {
      await this.#put(volume.id, target);
      // A removal under way either sees this, or comes first and leaves nothing to be mounted.
      await volumes.use(volume.name, async (now) => {
        const source = await mounts.mount(now, hint, signal, isReader(access));
        if (volume.spec.block) await this.#ensurePoint("file", path, attempt);
        const options = optionsOf(access);
        await kernel.mount({ type: "bind", source, target: path, options });
      });
    } catch (thrown) {
      await mounts.unmount(volume, hint, "all");
      await this.#drop(volume.id, path);
      if (volume.spec.block) await this.#removePoint(path).catch(() => undefined);
      throw thrown;
    }
  }

  /**
   * Mounts a staged volume at another path, which is made. The same again is success. What the staging path lost is
   * staged again: some clients publish without having staged after an unstaging that failed.
   *
   * @throws {Failure} as {@link stage}; `failed_precondition` when the access mode allows one path, and it has another.
   */
  async publish(
    volume: Volume,
    at: { readonly staging: string; readonly path: string },
    access: VolumeAccess,
    signal: AbortSignal,
  ): Promise<void> {
    const { kernel, files, mounts } = this.#parts;
    const { path } = at;
    const staging = stagedAt(volume, at.staging);
    const { block = false } = volume.spec;
    const attempt = `Cannot publish volume "${volume.name}" at ${quote(path)}`;
    const target: Target = { path, kind: "published", access };
    if (await this.#isThere(volume, target, attempt, signal)) return;
    if ((await this.#at(volume, staging, signal)) !== "shown") {
      const before = (await this.list(volume.id)).find((one) => one.path === staging);
      await this.stage(
        volume,
        at.staging,
        before?.access ?? { ...access, readOnly: false },
        signal,
      );
    }
    // An engine that mounts it meanwhile waits, or was first.
    const work = async (): Promise<void> => {
      await this.#ensureAlone(volume, target, attempt, signal);
      const made = await this.#ensurePoint(block ? "file" : "directory", path, attempt);
      try {
        await this.#put(volume.id, target);
        // Of two publications of a device one may be for reading only: it has a node of its own.
        const source = block
          ? await mounts.mount(volume, clientHint(path), signal, isReader(access))
          : staging;
        const options = optionsOf(access);
        await kernel.mount({ type: "bind", source, target: path, options });
      } catch (thrown) {
        await this.#drop(volume.id, path);
        if (made) await files.remove(path).catch(() => undefined);
        throw thrown;
      }
    };
    await this.#parts.volumes.use(volume.name, work).catch(async (thrown: unknown) => {
      if (block) await mounts.unmount(volume, clientHint(path), "all");
      throw thrown;
    });
  }

  /** Takes a published volume away, and the path. Not there is success, also when the volume is not known any more. */
  async unpublish(
    id: VolumeId,
    volume: Volume | undefined,
    path: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { files } = this.#parts;
    const recorded = (await this.list(id)).some((one) => one.path === path);
    if (volume === undefined && !recorded) return;
    const attempt = `Cannot unpublish volume ${id} at ${quote(path)}`;
    await this.#unmountAll({ id, volume, path }, attempt, signal);
    const stat = await files.stat(path);
    // Only a directory that is empty: what is in it is not ours.
    if (stat?.kind === "directory") await files.remove(path);
    if (volume === undefined || volume.spec.block) await this.#removePoint(path);
    await this.#drop(id, path);
    if (volume?.spec.block) await this.#parts.mounts.unmount(volume, clientHint(path), "all");
  }

  /**
   * Takes a staged volume away; the directory stays. Not there is success.
   *
   * @throws {Failure} `failed_precondition` while it is published from there.
   */
  async unstage(
    id: VolumeId,
    volume: Volume | undefined,
    directory: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { mounts } = this.#parts;
    const attempt = `Cannot unstage volume ${id} at ${quote(directory)}`;
    const targets = await this.list(id);
    const device = deviceIn(directory);
    const block = volume?.spec.block ?? targets.some(({ path }) => path === device);
    const path = block ? device : directory;
    const published = await this.#firstMounted(targets.filter(({ kind }) => kind === "published"));
    if (published !== undefined) {
      const why = `it is published at ${quote(published.path)}; unpublish it first`;
      throw new Failure("failed_precondition", `${attempt}: ${why}`);
    }
    await this.#unmountAll({ id, volume, path }, attempt, signal);
    if (block) await this.#removePoint(path);
    await this.#drop(id, path);
    if (volume !== undefined) await mounts.unmount(volume, clientHint(path), "all");
  }

  /** Where a volume was asked for, whether it is still there or not. */
  async list(id: VolumeId): Promise<readonly Target[]> {
    const { entries } = await this.#parts.runtime.list(prefixOf(id));
    return entries.map(({ value }) => JSON.parse(value) as Target);
  }

  /** True when the volume is mounted at `path` now. */
  async isAt(volume: Volume, path: string, signal: AbortSignal): Promise<boolean> {
    const points = [path, stagedAt(volume, path)];
    for (const point of points) {
      if ((await this.#at(volume, point, signal)) === "shown") return true;
    }
    return false;
  }

  /**
   * For engines: a volume that a client has for one writer only is nobody else's meanwhile.
   *
   * @throws {Failure} `failed_precondition` naming where it is.
   */
  async ensureShared(volume: Volume): Promise<void> {
    const targets = await this.list(volume.id);
    const writers = targets.filter(({ access }) => isAlone(access) && !isReader(access));
    const writer = await this.#firstMounted(writers);
    if (writer === undefined) return;
    throw new Failure(
      "failed_precondition",
      `Cannot mount volume "${volume.name}": it is published for one writer only (${writer.access.mode}) at ${quote(writer.path)}; unpublish it there first`,
    );
  }

  /** True when the target is there as it is asked for. */
  async #isThere(volume: Volume, target: Target, attempt: string, signal: AbortSignal) {
    const { path } = target;
    const found = await this.#at(volume, path, signal);
    if (found === "nothing") return false;
    if (found === "lost") {
      await this.#unmountAll({ id: volume.id, volume, path }, attempt, signal);
      return false;
    }
    if (found === "else") {
      throw new Failure("failed_precondition", `${attempt}: something else is mounted there`);
    }
    const records = await this.list(volume.id);
    const record = records.find((one) => one.path === path);
    if (record === undefined) {
      // Mounted by us, and the note of it lost: what the mount table shows counts.
      this.#parts.log.warn("a mount without a record", { volume: volume.name });
      await this.#put(volume.id, target);
      return true;
    }
    if (record.kind === target.kind && isSameAccess(record.access, target.access)) return true;
    throw new Failure(
      "already_exists",
      `${attempt}: it is ${record.kind === "staging" ? "staged" : "published"} there otherwise, as ${record.access.mode}${record.access.readOnly ? ", read-only" : ""}; take that away first`,
    );
  }

  /** The table of second publications in the specification (NodePublishVolume). */
  async #ensureAlone(volume: Volume, target: Target, attempt: string, signal: AbortSignal) {
    const { mounts } = this.#parts;
    const others = (await this.list(volume.id)).filter(
      ({ kind, path, access }) =>
        kind === target.kind && path !== target.path && (isAlone(access) || isAlone(target.access)),
    );
    const other = await this.#firstMounted(others);
    if (other !== undefined) {
      const { mode } = isAlone(target.access) ? target.access : other.access;
      const why = `it is at ${quote(other.path)}, and ${mode} allows one path`;
      throw new Failure("failed_precondition", `${attempt}: ${why}; take it away there first`);
    }
    if (target.kind !== "published" || !isAlone(target.access) || isReader(target.access)) return;
    // Hints first: what was too old by then is in the tables after.
    const starting = await mounts.isStarting(volume.id);
    const users = await mounts.users(volume, signal);
    const user = users.find(({ containerId }) => containerId !== null);
    if (user === undefined && !starting) return;
    const holder = user?.containerId?.slice(0, 12) ?? "that an engine is just starting";
    const why = `container ${holder} has it, and ${target.access.mode} allows one writer`;
    throw new Failure("failed_precondition", `${attempt}: ${why}; stop it first`);
  }

  /** What is at a path; `lost`: the node of a device of the volume's that was taken from it. */
  async #at(volume: Volume, path: string, signal: AbortSignal) {
    const entry = await this.#mountAt(path);
    if (entry === undefined) return "nothing";
    if (await this.#shows(volume, entry, signal)) return "shown";
    return (await this.#isLostDevice(volume, entry)) ? "lost" : "else";
  }

  /** Recorded as the volume's, and the node of a device: which of them it is by now does not matter. */
  async #isLostDevice(volume: Volume, entry: MountEntry): Promise<boolean> {
    if (volume.spec.block !== true || !showsAnyNode(entry)) return false;
    return this.#isRecorded(volume.id, entry.mountPoint);
  }

  /** The topmost mount at a path. Only that one is asked for: what it costs must not grow with all that is mounted. */
  async #mountAt(path: string): Promise<MountEntry | undefined> {
    const entry = await this.#parts.kernel.mountOf(path);
    return entry?.mountPoint === path ? entry : undefined;
  }

  /** The first of them that has a mount. */
  async #firstMounted(targets: readonly Target[]): Promise<Target | undefined> {
    for (const target of targets) {
      if ((await this.#mountAt(target.path)) !== undefined) return target;
    }
    return undefined;
  }

  /** True when a mount is one of the volume. */
  async #shows(volume: Volume, entry: MountEntry, signal: AbortSignal): Promise<boolean> {
    if (names(entry, volume)) return true;
    const { mounts } = this.#parts;
    const shown = await mounts.isShownBy(volume, entry, signal).catch(() => undefined);
    return shown ?? this.#isRecorded(volume.id, entry.mountPoint);
  }

  async #isRecorded(id: VolumeId, path: string): Promise<boolean> {
    return (await this.list(id)).some((one) => one.path === path);
  }

  /** Until nothing of the volume is mounted there: it may be mounted twice. */
  async #unmountAll(
    at: { readonly id: VolumeId; readonly volume: Volume | undefined; readonly path: string },
    attempt: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { kernel } = this.#parts;
    for (let round = 0; round < UNMOUNTS_LIMIT; round++) {
      const entry = await this.#mountAt(at.path);
      if (entry === undefined) return;
      const ours =
        at.volume === undefined
          ? await this.#isRecorded(at.id, at.path)
          : (await this.#shows(at.volume, entry, signal)) ||
            (await this.#isLostDevice(at.volume, entry));
      if (!ours) {
        throw new Failure("failed_precondition", `${attempt}: something else is mounted there`);
      }
      await kernel.unmount(at.path).catch((thrown: unknown) => {
        if (!(thrown instanceof Failure) || thrown.code !== "not_found") throw thrown;
      });
    }
    throw new Failure("failed_precondition", `${attempt}: it is mounted there again and again`);
  }

  /** Something to mount on. True when it was made. */
  async #ensurePoint(kind: "directory" | "file", path: string, attempt: string): Promise<boolean> {
    const { files } = this.#parts;
    if ((await files.stat(path)) !== undefined) {
      await this.#ensureKind(kind, path, attempt, "remove it, or choose another path");
      return false;
    }
    if (kind === "file") await files.createSparse(path, 0);
    else await files.makeDirectory(path, { mode: 0o755 });
    return true;
  }

  /** Only a file that is empty: anything else is not what {@link #ensurePoint} made. */
  async #removePoint(path: string): Promise<void> {
    const { files } = this.#parts;
    const stat = await files.stat(path);
    if (stat?.kind === "file" && stat.sizeBytes === 0) await files.remove(path);
  }

  async #ensureKind(kind: string, path: string, attempt: string, what: string): Promise<void> {
    const stat = await this.#parts.files.stat(path);
    if (stat?.kind === kind) return;
    const why = stat === undefined ? "it does not exist" : `it is a ${stat.kind}, not a ${kind}`;
    throw new Failure("failed_precondition", `${attempt}: ${why}; ${what}`);
  }

  async #put(id: VolumeId, target: Target): Promise<void> {
    const value = JSON.stringify(target);
    await this.#parts.runtime.txn([], [{ do: "put", key: prefixOf(id) + target.path, value }]);
  }

  async #drop(id: VolumeId, path: string): Promise<void> {
    await this.#parts.runtime.txn([], [{ do: "delete", key: prefixOf(id) + path }]);
  }
}

/** Drivers that make a mount of a layer name it, so that it is known when the pool is gone. */
function names({ root, source, superOptions }: MountEntry, { head }: Volume): boolean {
  return [root, source, ...superOptions].some((text) => text.includes(head));
}

/** Where a volume is that is staged at a directory. */
function stagedAt({ spec }: Volume, directory: string): string {
  return spec.block ? deviceIn(directory) : directory;
}

function deviceIn(directory: string): string {
  return `${directory}/device`;
}

function optionsOf(access: VolumeAccess): readonly string[] {
  const options = access.options.filter((option) => option !== "rw");
  return isReader(access) && !options.includes("ro") ? ["ro", ...options] : options;
}

function prefixOf(id: VolumeId): string {
  return `targets/${id}`;
}
