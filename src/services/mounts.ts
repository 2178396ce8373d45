import { Failure } from "../core/failure.ts";
import type { VolumeId } from "../core/id.ts";
import { quote } from "../core/name.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Engine, EngineContainer } from "../core/ports/engine.ts";
import type { Kernel, MountEntry, MountNamespace } from "../core/ports/kernel.ts";
import type { Log } from "../core/ports/log.ts";
import type { Store } from "../core/ports/store.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { BlockDevices } from "./block-devices.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import {
  HINTS,
  hintPrefix,
  isClientHint,
  type MountHint,
  parseHint,
  volumeOfHint,
} from "./mount-hints.ts";
import { type Content, findPlace, shows } from "./mount-place.ts";
import { ensureServes, inUse, lostIsUndefined, noAnswer, shown } from "./mount-refusals.ts";
import type { Pools } from "./pools.ts";
import type { Staging } from "./staging.ts";
import { usersOf, type VolumeUser } from "./volume-users.ts";

/*
 * Who uses a volume. Invariants:
 * 1. The truth is the mount tables of running processes. What engines told us (Mount without Unmount) is a
 *    hint: after a crash an engine sends the same ID again, `docker cp` sends the ID of the running
 *    container, and with live-restore no Unmount may ever come. So neither a set nor a count decides anything.
 * 2. A hint holds a volume only while it is younger than MOUNT_GRACE_MS: the time an engine needs from our
 *    answer to its own mount. An older hint that no process's mount table confirms is dropped. Who asks whether a
 *    volume is used looks at the hints first: a container whose hint was too old by then is in the tables after.
 * 3. Most drivers hand out a plain directory in a pool that stays mounted, and nothing is mounted here. Of the others
 *    a layer is mounted (see Staging) by the first Mount, and taken down only when no process but us has it.
 */

/** How long a Mount call counts by itself, before the container's own mount must be seen, in milliseconds. */
export const MOUNT_GRACE_MS = 30_000;

/** How many volumes are looked at at once by {@link Mounts.listUnused}. */
const UNUSED_CONCURRENCY = 8;

/** What {@link Mounts} works with. */
interface MountsParts {
  readonly runtime: Store;
  readonly pools: Pools;
  readonly staging: Staging;
  readonly devices: BlockDevices;
  readonly kernel: Kernel;
  readonly engines: readonly Engine[];
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly log: Log;
}

export class Mounts {
  readonly #parts: MountsParts;
  /** When a Mount was answered, by the hint's key: an engine's time begins there, and writing the hint may take long. */
  readonly #answered = new Map<string, number>();

  /** @param parts `runtime`: a store that survives a restart of the daemon but not of the machine. */
  constructor(parts: MountsParts) {
    this.#parts = parts;
  }

  /**
   * Notes that an engine is about to mount the volume under `mountId`, and answers where its content is.
   *
   * @param readOnly Of a volume that is a block device, which clients that mount by themselves get: its node takes no writes.
   * @throws {Failure} `unavailable` when the pool is faulted, `data_loss` when the volume's layer is gone;
   * `failed_precondition` for an engine's mount of a block device.
   */
  async mount(
    volume: Volume,
    mountId: string,
    signal: AbortSignal,
    readOnly = false,
  ): Promise<string> {
    ensureServes(volume, mountId);
    const path = await this.#open(volume, signal, readOnly);
    const { runtime, clock } = this.#parts;
    await this.#onHint(volume.id, mountId, async (key, hint) => {
      const next: MountHint = { count: (hint?.count ?? 0) + 1, since: clock.monotonic() };
      await runtime.txn([], [{ do: "put", key, value: JSON.stringify(next) }]);
      this.#answered.set(key, clock.monotonic());
    });
    return path;
  }

  /** Takes one Mount of `mountId` back, or all. One that is not known is success: the engine's word against nothing. */
  async unmount(volume: Volume, mountId: string, takes: "one" | "all" = "one"): Promise<void> {
    const { runtime } = this.#parts;
    await this.#onHint(volume.id, mountId, async (key, hint) => {
      if (hint === undefined) return;
      const left: MountHint = { ...hint, count: takes === "all" ? 0 : hint.count - 1 };
      await runtime.txn(
        [],
        [left.count > 0 ? { do: "put", key, value: JSON.stringify(left) } : { do: "delete", key }],
      );
      if (left.count <= 0) this.#answered.delete(key);
    });
    await this.#releaseIfIdle(volume);
  }

  /** In the volume's lane of the queue: a Mount that comes meanwhile finds it mounted, or mounts it again. */
  async #releaseIfIdle(volume: Volume): Promise<void> {
    if (this.#parts.pools.describe(volume.spec.pool).driver.traits.plainPaths) return;
    await this.#parts.queue.run(volume.name, async () => {
      if ((await this.count(volume.id)) === 0) await this.release(volume);
    });
  }

  /** Takes down what was mounted for the volume, unless a process has it. The caller sees to it that nobody mounts it now. */
  async release(volume: Volume): Promise<void> {
    const { pools, staging, devices, log } = this.#parts;
    if (pools.describe(volume.spec.pool).driver.traits.plainPaths) return;
    try {
      if (volume.spec.block) await devices.release(volume);
      else await staging.unstage({ layer: volume.head, readOnly: false });
    } catch (error) {
      // Housekeeping tries again.
      log.warn("volume not unmounted", { volume: volume.name, error });
    }
  }

  /** Takes down every mount of ours that nobody needs: of the volumes given, and those that a crash left for reading. */
  async releaseIdle(volumes: readonly Volume[]): Promise<void> {
    const { staging, devices } = this.#parts;
    for (const volume of await devices.attachedOf(volumes)) await this.#releaseIfIdle(volume);
    const staged = await staging.list();
    if (staged.length === 0) return;
    const heads = new Map(volumes.map((volume) => [volume.head, volume]));
    for (const one of staged) {
      const volume = one.readOnly ? undefined : heads.get(one.layer);
      if (volume === undefined) await staging.unstage(one);
      else await this.#releaseIfIdle(volume);
    }
  }

  /**
   * Directory of the volume's content; where that has to be mounted first, `failed_precondition` while it is not.
   *
   * @throws {Failure} as {@link mount}.
   */
  async path(volume: Volume, signal: AbortSignal): Promise<string> {
    if (!(await this.#isReachable(volume))) {
      throw new Failure(
        "failed_precondition",
        `Cannot tell where volume "${volume.name}" is: it is mounted only while a container has it`,
      );
    }
    return this.#open(volume, signal);
  }

  async #isReachable(volume: Volume): Promise<boolean> {
    const { pools, staging, devices } = this.#parts;
    if (pools.get(volume.spec.pool).traits.plainPaths) return true;
    if (volume.spec.block) return (await devices.attachedOf([volume])).length > 0;
    return staging.has({ layer: volume.head, readOnly: false });
  }

  async #open(volume: Volume, signal: AbortSignal, readOnly = false): Promise<string> {
    const { pools, staging, devices } = this.#parts;
    const driver = pools.get(volume.spec.pool);
    const mountsOf = () => driver.mounts(volume.head, { readOnly: false }, signal);
    try {
      if (volume.spec.block) return await devices.attach(driver, volume, readOnly, signal);
      if (!driver.traits.plainPaths) {
        return await staging.stage({ layer: volume.head, readOnly: false }, mountsOf);
      }
      const [only] = await mountsOf();
      if (only?.type === "bind") return only.source;
      throw new Failure("internal", "A driver with plain paths answered a mount");
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.code !== "not_found") throw thrown;
      throw new Failure(
        "data_loss",
        `Cannot mount volume "${volume.name}": its content (layer ${volume.head}) is missing from pool "${volume.spec.pool}"; run "lagan doctor"`,
        { detail: { missing: volume.head }, cause: thrown },
      );
    }
  }

  /** How many mounts engines have announced and not taken back, for listings. */
  async count(id: VolumeId): Promise<number> {
    const { entries } = await this.#parts.runtime.list(hintPrefix(id));
    return entries.reduce((sum, entry) => sum + parseHint(entry.value).count, 0);
  }

  /** The same for every volume that has any. */
  async counts(): Promise<ReadonlyMap<VolumeId, number>> {
    const counts = new Map<VolumeId, number>();
    for (const { key, value } of (await this.#parts.runtime.list(HINTS)).entries) {
      const id = volumeOfHint(key);
      counts.set(id, (counts.get(id) ?? 0) + parseHint(value).count);
    }
    return counts;
  }

  /** The processes that see the volume's content in a mount of their own. */
  async users(volume: Volume, signal: AbortSignal): Promise<readonly VolumeUser[]> {
    const content = await this.#contentOf(volume, signal);
    if (content === undefined) return [];
    return usersOf(content, await this.#parts.kernel.mountNamespaces(content.place));
  }

  async #usersAmong(
    namespaces: readonly MountNamespace[],
    volume: Volume,
    signal: AbortSignal,
  ): Promise<readonly VolumeUser[]> {
    return usersOf(await this.#contentOf(volume, signal), namespaces);
  }

  /**
   * True when a mount, which is not our own mount of it, shows the volume's content; undefined when that cannot be told,
   * because its content is gone or mounted nowhere by us.
   *
   * @throws {Failure} `unavailable` when the pool is faulted.
   */
  async isShownBy(
    volume: Volume,
    entry: MountEntry,
    signal: AbortSignal,
  ): Promise<boolean | undefined> {
    return (await this.#contentOf(volume, signal))?.isShownBy(entry);
  }

  async #contentOf(volume: Volume, signal: AbortSignal): Promise<Content | undefined> {
    const { devices, kernel, staging } = this.#parts;
    if (volume.spec.block) return { isShownBy: await devices.showing(volume) };
    if (!(await this.#isReachable(volume))) return undefined;
    const path = await this.#open(volume, signal).catch(lostIsUndefined);
    if (path === undefined) return undefined;
    const place = await findPlace(path, kernel);
    // Our own mount of it, also as other mount namespaces got it from ours, is no use of it.
    const ours = staging.pointOf({ layer: volume.head, readOnly: false });
    return { place, isShownBy: (entry) => entry.mountPoint !== ours && shows(entry, place) };
  }

  /**
   * @param ask `askEngines`: also refuse when an engine has a stopped container with the volume.
   * @throws {Failure} `failed_precondition` when the volume is in use; names who uses it and what to do.
   */
  async ensureUnused(
    volume: Volume,
    attempt: string,
    ask: { readonly askEngines: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const starting = await this.#hasFreshHint(volume.id);
    const containers = ask.askEngines ? await this.#containers(volume, signal) : [];
    const users = await this.users(volume, signal);
    const [named] = [...containers].sort((a, b) => Number(b.running) - Number(a.running));
    const [user] = users;
    if (named !== undefined) {
      const what = named.running
        ? "stop it first"
        : `it is stopped; remove it first: docker rm ${named.name}`;
      throw inUse(attempt, volume, `container ${named.name} (${named.id.slice(0, 12)})`, what);
    }
    if (user?.containerId != null) {
      throw inUse(attempt, volume, `container ${user.containerId.slice(0, 12)}`, "stop it first");
    }
    if (user !== undefined && user.target !== null) {
      const holder = `whoever had it mounted at ${quote(user.target)}`;
      throw inUse(attempt, volume, holder, "unpublish and unstage it first");
    }
    if (user !== undefined) {
      throw inUse(attempt, volume, `process ${user.pid} (${shown(user.command)})`, "end it first");
    }
    if (starting) {
      throw inUse(
        attempt,
        volume,
        "an engine that is just starting a container with it",
        "try again in half a minute",
      );
    }
  }

  /**
   * Those of `volumes` that nobody uses: no container of any engine, stopped ones included, and no process.
   *
   * @throws {Failure} `unavailable` when an engine does not answer: then nobody knows.
   */
  async listUnused(volumes: readonly Volume[], signal: AbortSignal): Promise<readonly Volume[]> {
    const { engines, kernel } = this.#parts;
    const starting = await this.#listStarting();
    const namespaces = await kernel.mountNamespaces();
    const unused = new Set<Volume>();
    const next = volumes.values();
    const work = async (): Promise<void> => {
      for (const volume of next) {
        // Of a volume whose pool is faulted nobody knows who uses it: it is not said to be unused.
        const users = await this.#usersAmong(namespaces, volume, signal).catch(() => undefined);
        if (users?.length !== 0 || starting.has(volume.id)) continue;
        const asked = engines.map((engine) =>
          engine.listContainers(volume.name, signal).catch((cause: unknown) => {
            throw noAnswer(engine, cause);
          }),
        );
        if ((await Promise.all(asked)).flat().length === 0) unused.add(volume);
      }
    };
    await Promise.all(Array.from({ length: UNUSED_CONCURRENCY }, work));
    return volumes.filter((volume) => unused.has(volume));
  }

  /** Drops hints that no running process confirms any more, of the volumes given. */
  async dropStaleHints(volumes: readonly Volume[], signal: AbortSignal): Promise<void> {
    const counts = await this.counts();
    if (counts.size === 0) return;
    const { clock, kernel, runtime, log } = this.#parts;
    const now = clock.monotonic();
    const namespaces = await kernel.mountNamespaces();
    for (const volume of volumes.filter(({ id }) => counts.has(id))) {
      const users = await this.#usersAmong(namespaces, volume, signal).catch(() => undefined);
      if (users === undefined || users.length > 0) continue;
      for (const { key, value } of (await runtime.list(hintPrefix(volume.id))).entries) {
        if (this.#isFresh(key, value, now)) continue;
        await runtime.txn([], [{ do: "delete", key }]);
        log.info("forgot a mount that no process has", { volume: volume.name, key });
      }
    }
  }

  /** True while an engine has been answered where the volume is, and may not have mounted it yet. */
  async isStarting(id: VolumeId): Promise<boolean> {
    return (await this.#listStarting(hintPrefix(id), (key) => !isClientHint(key))).has(id);
  }

  async #hasFreshHint(id: VolumeId): Promise<boolean> {
    return (await this.#listStarting(hintPrefix(id))).has(id);
  }

  /** The volumes that an engine is just about to mount. */
  async #listStarting(
    prefix: string = HINTS,
    counts: (key: string) => boolean = () => true,
  ): Promise<ReadonlySet<VolumeId>> {
    const now = this.#parts.clock.monotonic();
    const { entries } = await this.#parts.runtime.list(prefix);
    const fresh = entries.filter(({ key, value }) => counts(key) && this.#isFresh(key, value, now));
    return new Set(fresh.map(({ key }) => volumeOfHint(key)));
  }

  #isFresh(key: string, value: string, now: number): boolean {
    const since = this.#answered.get(key) ?? parseHint(value).since;
    if (now - since < MOUNT_GRACE_MS) return true;
    this.#answered.delete(key);
    return false;
  }

  /** What engines say; one that does not answer says nothing: the mount tables decide. */
  async #containers(volume: Volume, signal: AbortSignal): Promise<readonly EngineContainer[]> {
    const { engines, log } = this.#parts;
    const answers = await Promise.all(
      engines.map((engine) =>
        engine.listContainers(volume.name, signal).catch((thrown: unknown) => {
          log.warn("engine not asked", { engine: engine.address, error: thrown });
          return [];
        }),
      ),
    );
    return answers.flat();
  }

  #onHint(
    id: VolumeId,
    mountId: string,
    work: (key: string, hint: MountHint | undefined) => Promise<void>,
  ): Promise<void> {
    const key = hintPrefix(id) + mountId;
    return this.#parts.queue.run(key, async () => {
      const entry = await this.#parts.runtime.get(key);
      await work(key, entry === undefined ? undefined : parseHint(entry.value));
    });
  }
}
