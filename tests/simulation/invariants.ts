import type { Snapshot } from "../../src/core/history/snapshot.ts";
import type { Operation } from "../../src/core/operation/operation.ts";
import type { Volume } from "../../src/core/volume/volume.ts";
import { MOUNT_GRACE_MS } from "../../src/services/mounts.ts";
import type { SimMachine } from "../../src/sim/machine.ts";
import type { SimStoreDisk } from "../../src/sim/store.ts";
import { filesOf, isSame, type Request, type Tracked, type VolumeFile, valuesOf } from "./model.ts";
import { SnapshotChecker } from "./snapshots.ts";

/**
 * What must hold whatever happens to a node. A breach is written down under its number, never thrown: the code under
 * test could catch it.
 */
export const INVARIANTS = {
  1: "A volume that was acknowledged is never missing: its record stays until somebody asks for its removal.",
  2: "No half volume is visible: a ready volume has its layer whole, empty at first, with owner and limit as asked.",
  3: "A name has one volume, and every volume that is creating or ready has its name.",
  4: "What a container wrote and synced is there after any crash; what it only wrote is, unless the power failed.",
  5: "A removed volume can be restored, with its content, until it expires or somebody purges it.",
  6: "A volume never holds more than its size limit.",
  7: "No mount and no loop device leaks.",
  8: "A volume is never removed or renamed while a process has it mounted, or an engine is about to mount it.",
  9: "Operations end: when nothing is wrong any more, none is running, what has expired is gone and every pool is up, within a bound.",
  10: "A layer that no volume has is never removed silently, and none is ever left behind by us.",
  11: "An answer tells what was so at some moment between question and answer.",
  12: "Nothing that nobody asked for happens: every change of a volume has a request, or time, as its cause.",
  13: "A volume that nobody uses can be removed: nothing but a container, or a Mount of just now, holds it.",
  14: "No request fails for a bug of ours (`internal`), and none is left without an answer while the daemon runs.",
  15: "When nothing is wrong any more, every verb works.",
  16: "A snapshot that was acknowledged is never missing, and never holds anything else than at first.",
  17: "A snapshot holds what its volume held at one instant since it was asked for; a restore, a clone and a branch hold what their snapshot holds.",
} as const;

export type InvariantNumber = keyof typeof INVARIANTS;

/** A breach, with what was seen. */
export interface Violation {
  readonly invariant: InvariantNumber;
  readonly seen: string;
}

const POOLS = "/var/lib/lagan/pools";

/** Follows the store's history, revision by revision, and compares it with what users asked for and machine has. */
export class Checker {
  readonly violations: Violation[] = [];
  readonly volumes: Map<string, Tracked> = new Map();
  readonly requests: Set<Request> = new Set();
  readonly snapshots: SnapshotChecker;
  /** How often the daemon was started. */
  starts = 0;
  /** Latest that the wall clock has ever shown. */
  latestMs = 0;
  readonly #machine: SimMachine;
  readonly #disk: SimStoreDisk;
  readonly #trashKeepMs: number | null;
  #revision = 0;

  constructor(machine: SimMachine, disk: SimStoreDisk, trashKeepMs: number | null) {
    this.#machine = machine;
    this.#disk = disk;
    this.#trashKeepMs = trashKeepMs;
    this.snapshots = new SnapshotChecker(machine, this);
  }

  breach(invariant: InvariantNumber, seen: string): void {
    if (this.violations.length < 20) this.violations.push({ invariant, seen });
  }

  get revision(): number {
    return this.#disk.revision;
  }

  /** Looks at every revision since the last look: after each call of the store. */
  step(): void {
    this.latestMs = Math.max(this.latestMs, this.#machine.clock.now());
    const { history, revision } = this.#disk;
    while (this.#revision < revision) {
      this.#revision++;
      const events = history[history.length - 1 - (revision - this.#revision)] ?? [];
      for (const { entry } of events) if (entry?.key.startsWith("operations/")) this.#expect(entry);
      // First, what a restore keeps: what it replaced is still known.
      for (const { key, entry } of events) {
        const [table, , id = ""] = key.split("/");
        if (table !== "snapshots") continue;
        const snapshot = entry === undefined ? undefined : (JSON.parse(entry.value) as Snapshot);
        this.snapshots.follow(id, snapshot);
      }
      for (const { key, entry } of events) {
        const [table = "", id = ""] = key.split("/");
        if (table !== "volumes") continue;
        const volume = entry === undefined ? undefined : (JSON.parse(entry.value) as Volume);
        this.#follow(id, volume);
      }
      if (this.#revision === revision) for (const { key } of events) this.#checkName(key);
    }
  }

  /** 2, 4, 6: the machine has every volume that the store has. Only where its pool is mounted. */
  checkContents(): void {
    for (const tracked of this.volumes.values()) this.checkContent(tracked);
    this.snapshots.checkContents();
  }

  checkContent(tracked: Tracked): void {
    const { volume, state } = tracked;
    if (state !== "ready" && state !== "trashed") return;
    const content = this.contentOf(volume);
    if (content === undefined) return;
    if (this.#machine.namespace.find(content) === undefined) {
      this.breach(state === "trashed" ? 5 : 1, `${volume.name} (${state}) has no ${content}`);
      return;
    }
    let heldBytes = 0;
    for (const [name, file] of tracked.files) {
      heldBytes += file.sizeBytes;
      // An empty file is as good as none: it is what a write that failed leaves.
      const found = this.#machine.read(`${content}/${name}`) || undefined;
      if (found === file.newest || (file.powerFailed && isOld(file, found))) {
        if (file.powerFailed) tracked.files.set(name, settled(found));
        if (file.powerFailed) tracked.past.push(valuesOf(tracked.files));
        continue;
      }
      const wanted = file.powerFailed ? `${file.synced}, or newer` : file.newest;
      this.breach(state === "trashed" ? 5 : 4, `${volume.name}/${name}: ${found}, not ${wanted}`);
    }
    const { sizeBytes } = volume.spec;
    // A writer can be faster than a limit that becomes smaller: then it gets no further.
    if (sizeBytes !== null && heldBytes > sizeBytes && !tracked.resizing) {
      this.breach(6, `${volume.name} holds ${heldBytes} bytes of ${sizeBytes}`);
    }
  }

  /** From here on a file may have any content since its last sync. */
  notePowerCut(): void {
    for (const { files } of this.volumes.values()) {
      for (const [name, file] of files) files.set(name, { ...file, powerFailed: true });
    }
  }

  /**
   * The store has lost its newest revisions: what was seen of them still counts, as users may have been told of it, and what
   * comes in their place must fit to it.
   */
  noteLost(): void {
    this.#revision = Math.min(this.#revision, this.#disk.revision);
    for (const { volume, trail } of this.volumes.values()) {
      const record = this.#disk.entries.get(`volumes/${volume.id}`)?.value;
      const last = trail.at(-1);
      if (record === undefined || last === undefined) continue;
      if (record === JSON.stringify(last.volume)) continue;
      // Answers may tell what the record says now.
      last.until = this.#revision;
      const now = JSON.parse(record) as Volume;
      trail.push({ from: this.#revision, until: Number.POSITIVE_INFINITY, volume: now });
    }
  }

  /** Where a volume's content lies; undefined while its pool is not mounted. */
  contentOf({ spec, head }: Pick<Volume, "spec"> & { readonly head: string }): string | undefined {
    const root = this.poolRoot(spec.pool);
    if (this.#machine.namespace.find(`${root}/layers`) === undefined) return undefined;
    return `${root}/layers/${head}/_data`;
  }

  /** Where a pool has its layers. */
  poolRoot(pool: string): string {
    const inside = `${POOLS}/${pool}`;
    return this.#machine.namespace.find(`${inside}/mnt`) ? `${inside}/mnt` : inside;
  }

  /** Requests of dead daemons have had all the effect that they can have. */
  forgetLost(): void {
    this.step();
    this.requests.clear();
  }

  /** 11: what `claim` says was so at a moment of the request. */
  ensureSeen(request: Request, id: string, claim: (volume: Volume) => boolean, what: string): void {
    const tracked = this.volumes.get(id);
    const last = tracked?.trail.at(-1);
    const seen = tracked?.trail.some(
      ({ volume, from, until }) => until >= request.from && from <= this.revision && claim(volume),
    );
    if (seen) return;
    this.breach(
      11,
      `${request.verb} ${request.name}: answered ${what}, but ${JSON.stringify(last)}`,
    );
  }

  /** 2: what is shown is ready, but for what an earlier daemon may have acknowledged. */
  ensureShown({ id, name, status }: Volume): void {
    const begunBy = this.volumes.get(id)?.begunBy ?? 0;
    if (status.state === "ready" || (status.state === "creating" && begunBy < this.starts)) return;
    this.breach(2, `${name} is shown, and is ${status.state}`);
  }

  /** The volume that had the name from the beginning of the request until now, if one had. */
  steady(name: string, from: number): Tracked | undefined {
    for (const tracked of this.volumes.values()) {
      const last = tracked.trail.at(-1);
      if (tracked.state !== "ready" || tracked.volume.name !== name) continue;
      if (last !== undefined && last.from <= from) return tracked;
    }
    return undefined;
  }

  /** A limit may change from when its operation is written down. */
  #expect({ value }: { readonly value: string }): void {
    const { verb, volume } = JSON.parse(value) as Operation;
    const tracked = volume === null ? undefined : this.volumes.get(volume);
    if (verb === "volume.resize" && tracked !== undefined) tracked.resizing = true;
  }

  #follow(id: string, next: Volume | undefined): void {
    const tracked = this.volumes.get(id);
    const last = tracked?.trail.at(-1);
    if (last !== undefined) last.until = this.#revision - 1;
    if (next === undefined) {
      // Gone already, and again after a power cut took that.
      if (tracked === undefined || tracked.state === "gone") return;
      this.#checkGone(tracked);
      tracked.state = "gone";
      return;
    }
    const known: Tracked = tracked ?? {
      volume: next,
      state: "none",
      trail: [],
      files: new Map(),
      hints: new Map(),
      tries: new Map(),
      containers: 0,
      acknowledged: false,
      begunBy: this.starts,
      ...{ past: [new Map()], reverting: false, resizing: false },
    };
    this.volumes.set(id, known);
    this.#checkChange(known, next);
    known.trail.push({ from: this.#revision, until: Number.POSITIVE_INFINITY, volume: next });
    known.volume = next;
    known.state = next.status.state;
  }

  /** 12, and what each change needs. */
  #checkChange(before: Tracked, next: Volume): void {
    const { name } = before.volume;
    const { status } = next;
    const change = `${before.state} -> ${status.state}`;
    const asked = (verb: Request["verb"], of = name): boolean =>
      [...this.requests].some((r) => r.verb === verb && (r.name === of || r.name === next.id));
    switch (change) {
      case "none -> creating":
      case "creating -> removing":
        // What a clone was to start from may be gone at the next start.
        if (!asked("create") && !asked("clone") && next.spec.from === null) {
          this.breach(12, `${name}: ${change}`);
        }
        if (before.acknowledged) this.breach(1, `${name}: ${change} after it was acknowledged`);
        return;
      case "creating -> ready":
        this.#checkWhole(before, next);
        return;
      case "ready -> ready":
        if (name === next.name) {
          this.#checkChanged(before, next, asked);
          return;
        }
        if (!asked("rename")) this.breach(12, `${name}: became ${next.name}`);
        this.#ensureUnused(before, "renamed");
        return;
      case "ready -> trashed":
        if (!asked("remove")) this.breach(12, `${name}: ${change}`);
        this.#ensureUnused(before, "removed");
        if (before.volume.protection !== null)
          this.breach(12, `${name}: removed though it is protected`);
        if (status.state === "trashed") {
          const keepMs = status.expiresAt === null ? null : status.expiresAt - status.trashedAt;
          if (keepMs !== this.#trashKeepMs) this.breach(5, `${name}: kept for ${keepMs} ms`);
        }
        return;
      case "trashed -> ready":
        if (!asked("restore")) this.breach(12, `${name}: ${change}`);
        return;
      case "trashed -> trashed":
        // A snapshot whose taking a crash cut off, and a removal before its pool was up.
        if (!isSameButTip(before.volume, next)) this.breach(12, `${name}: ${change}`);
        return;
      case "trashed -> removing":
        this.#checkPurge(before, asked("purge") || (this.#trashKeepMs === 0 && asked("remove")));
        return;
      default:
        this.breach(12, `${name}: ${change}`);
    }
  }

  /** A change of anything but the name. */
  #checkChanged(before: Tracked, next: Volume, asked: (verb: Request["verb"]) => boolean): void {
    const { volume } = before;
    // The same again, in place of what a power cut took.
    if (JSON.stringify(volume) === JSON.stringify(next)) return;
    if (volume.head !== next.head) {
      if (!before.reverting) this.breach(12, `${volume.name}: has another head`);
      before.reverting = false;
      this.#ensureUnused(before, "restored");
      const values = this.#startOf(next, next.tip);
      if (values !== undefined) before.files.clear();
      for (const [name, file] of values ?? []) before.files.set(name, file);
      before.past.push(valuesOf(before.files));
      return;
    }
    if (volume.spec.sizeBytes !== next.spec.sizeBytes) {
      if (!before.resizing) this.breach(12, `${volume.name}: has another limit`);
      return;
    }
    // Of a snapshot whose cause was looked at when it was begun: a write whose answer was lost may come late.
    const tip = next.tip === null ? undefined : this.snapshots.all.get(next.tip);
    if (volume.tip !== next.tip && tip?.snapshot.volume === next.id) return;
    if (!asked("update") && !before.resizing)
      this.breach(12, `${volume.name}: changed to ${JSON.stringify(next)}`);
  }

  /** 17: what a head that was made from a snapshot holds; undefined while nobody can look. */
  #startOf(
    { id, name, head }: Volume,
    from: string | null,
  ): ReadonlyMap<string, VolumeFile> | undefined {
    const found = this.snapshots.read(id, head);
    if (found === undefined) return undefined;
    if (found === "absent") {
      this.breach(17, `${name} is ready, and has no layer`);
      return undefined;
    }
    const wanted = from === null ? undefined : this.snapshots.all.get(from)?.values;
    if (wanted !== undefined && !isSame(found, wanted)) {
      this.breach(17, `${name} does not hold what snapshot ${from?.slice(-12)} holds`);
    }
    return filesOf(found);
  }

  #checkPurge({ volume }: Tracked, asked: boolean): void {
    const { status } = volume;
    if (asked || [...this.requests].some(({ verb }) => verb === "empty")) return;
    const expiresAt = status.state === "trashed" ? status.expiresAt : null;
    if (expiresAt !== null && expiresAt <= this.latestMs) return;
    this.breach(5, `${volume.name}: removed for good, it would have expired at ${expiresAt}`);
  }

  #checkGone({ volume, state }: Tracked): void {
    if (state !== "removing") this.breach(1, `${volume.name}: record of a ${state} volume is gone`);
    const content = this.contentOf(volume);
    if (content === undefined) return;
    const layer = content.slice(0, content.lastIndexOf("/"));
    if (this.#machine.namespace.find(layer) === undefined) return;
    this.breach(10, `${volume.name}: its record is gone, its layer ${volume.head} is not`);
  }

  /** 2. */
  #checkWhole(tracked: Tracked, volume: Volume): void {
    const content = this.contentOf(volume);
    if (content === undefined) return;
    const node = this.#machine.namespace.find(content)?.node;
    const { sizeBytes, uid, gid, mode } = volume.spec;
    if (node === undefined) {
      this.breach(2, `${volume.name} is ready, and ${content} is absent`);
      return;
    }
    const { from } = volume.spec;
    if (from !== null) {
      for (const [name, file] of this.#startOf(volume, from) ?? []) tracked.files.set(name, file);
      tracked.past.push(valuesOf(tracked.files));
    } else if (node.entries.size > 0) this.breach(2, `${volume.name} is new, and not empty`);
    const has = node.attributes;
    if (has.mode !== (mode ?? 0o755) || has.uid !== (uid ?? 0) || has.gid !== (gid ?? 0)) {
      this.breach(2, `${volume.name}: owner ${has.uid}:${has.gid}, mode ${has.mode.toString(8)}`);
    }
    const { limitBytes } = node.tree.settings;
    if (limitBytes !== sizeBytes)
      this.breach(2, `${volume.name}: limit ${limitBytes} of ${sizeBytes}`);
  }

  /** 8. */
  #ensureUnused({ volume, containers, hints }: Tracked, what: string): void {
    if (containers > 0) this.breach(8, `${volume.name} was ${what} under ${containers} containers`);
    const now = this.#machine.clock.monotonic();
    if ([...this.requests].some(({ verb, name }) => verb === "unmount" && name === volume.name))
      return;
    for (const at of hints.values()) {
      if (now - at >= MOUNT_GRACE_MS) continue;
      this.breach(8, `${volume.name} was ${what} ${now - at} ms after a Mount`);
    }
  }

  /** 3, for what one transaction touched. */
  #checkName(key: string): void {
    const [table = "", rest = ""] = key.split("/");
    if (table === "names") {
      const id = this.#disk.entries.get(key)?.value;
      const owner = id === undefined ? undefined : this.volumes.get(id);
      if (id === undefined || (owner !== undefined && hasName(owner) && owner.volume.name === rest))
        return;
      this.breach(3, `${rest} names ${id}, which is ${owner?.state} ${owner?.volume.name}`);
    }
    if (table === "volumes") {
      const tracked = this.volumes.get(rest);
      if (tracked === undefined) return;
      const { name } = tracked.volume;
      const named = this.#disk.entries.get(`names/${name}`)?.value === rest;
      if (named === hasName(tracked)) return;
      this.breach(
        3,
        `${name} (${tracked.state}) ${named ? "still has" : "does not have"} its name`,
      );
    }
  }
}

function hasName({ state }: Tracked): boolean {
  return state === "creating" || state === "ready";
}

function isSameButTip(a: Volume, b: Volume): boolean {
  return JSON.stringify({ ...a, tip: null }) === JSON.stringify({ ...b, tip: null });
}

function isOld(file: VolumeFile, found: string | number | undefined): boolean {
  return found === file.synced || file.between.includes(found);
}

/** After a power cut, once it was seen which content the disk had. */
function settled(found: string | number | undefined): VolumeFile {
  const sizeBytes = typeof found === "number" ? found : (found ?? "").length;
  return { newest: found, synced: found, between: [], powerFailed: false, sizeBytes };
}
