import type { Snapshot } from "../../src/core/history/snapshot.ts";
import type { Write } from "../../src/core/ports/store.ts";
import type { SimMachine } from "../../src/sim/machine.ts";
import type { Checker } from "./invariants.ts";
import {
  FILE_NAMES,
  isSame,
  showValues,
  type Tracked,
  type TrackedSnapshot,
  type Values,
} from "./model.ts";

/** Follows snapshots through the store's history: what each holds is written down when it is first shown. */
export class SnapshotChecker {
  readonly all: Map<string, TrackedSnapshot> = new Map();
  readonly #machine: SimMachine;
  readonly #checker: Checker;
  /** Index in {@link Tracked.past} of what each one's volume held when its record was sent. */
  readonly #since = new Map<string, number>();

  constructor(machine: SimMachine, checker: Checker) {
    this.#machine = machine;
    this.#checker = checker;
  }

  /** Writes are sent: what they record may be made from now on, before they are made. */
  begin(writes: readonly Write[]): void {
    for (const { key } of writes) {
      const [table, volume = "", id = ""] = key.split("/");
      const line = this.#checker.volumes.get(volume);
      if (table !== "snapshots" || line === undefined || this.#since.has(id)) continue;
      this.#since.set(id, this.#settled(line));
    }
  }

  /** One change of a record; `next` is undefined when it is gone. */
  follow(id: string, next: Snapshot | undefined): void {
    const known = this.all.get(id);
    if (next === undefined) {
      // Again, after a power cut took that.
      if (known !== undefined && known.state !== "gone") this.#checkGone(known);
      return;
    }
    const line = this.#checker.volumes.get(next.volume);
    const tracked: TrackedSnapshot = known ?? {
      ...{ snapshot: next, state: "none", values: undefined },
      since: this.#since.get(id) ?? 0,
    };
    this.all.set(id, tracked);
    this.#checkChange(tracked, next, line);
    tracked.snapshot = next;
    tracked.state = next.status.state;
  }

  /** 16: every snapshot that can be had holds what it held at first. */
  checkContents(): void {
    for (const tracked of this.all.values()) {
      if (tracked.state !== "ready" && tracked.state !== "trashed") continue;
      // They go with their volume.
      if (this.#checker.volumes.get(tracked.snapshot.volume)?.state === "removing") continue;
      const found = this.read(tracked.snapshot.volume, tracked.snapshot.layer);
      if (found === undefined) continue;
      if (found === "absent") {
        this.#checker.breach(16, `${told(tracked.snapshot)} (${tracked.state}) has no layer`);
      } else if (tracked.values === undefined) tracked.values = found;
      else if (!isSame(found, tracked.values)) {
        const seen = `${showValues(found)}, not ${showValues(tracked.values)}`;
        this.#checker.breach(16, `${told(tracked.snapshot)} holds ${seen}`);
      }
    }
  }

  /** What a layer holds; undefined while its pool is not mounted. */
  read(volume: string, layer: string): Values | "absent" | undefined {
    const line = this.#checker.volumes.get(volume);
    if (line === undefined) return undefined;
    const content = this.#checker.contentOf({ spec: line.volume.spec, head: layer });
    if (content === undefined) return undefined;
    if (this.#machine.namespace.find(content) === undefined) return "absent";
    return new Map(
      FILE_NAMES.flatMap((name) => {
        const value = this.#machine.read(`${content}/${name}`) || undefined;
        return value === undefined ? [] : [[name, value] as const];
      }),
    );
  }

  /** Only when it is looked at it is certain what a power cut has left. */
  #settled(line: Tracked): number {
    this.#checker.checkContent(line);
    return line.past.length - 1;
  }

  #checkChange(before: TrackedSnapshot, next: Snapshot, line: Tracked | undefined): void {
    const checker = this.#checker;
    const change = `${before.state} -> ${next.status.state}`;
    const names = [line?.volume.name, next.id] as readonly (string | undefined)[];
    const asked = (...verbs: readonly string[]): boolean =>
      [...checker.requests].some(({ verb, name }) => verbs.includes(verb) && names.includes(name));
    const cloning = [...checker.requests].some(({ verb }) => verb === "clone");
    const strange = (): void => checker.breach(12, `${told(next)}: ${change}`);
    switch (change) {
      case "none -> creating":
        if (!asked("snapshot", "revert") && !cloning) strange();
        return;
      case "creating -> ready":
        this.#checkTaken(before, next, line);
        return;
      case "creating -> creating":
        // Written again with the volume's new head.
        if (next.cause === "restore" && line !== undefined) line.reverting = true;
        else strange();
        return;
      case "creating -> removing":
      case "ready -> ready":
        return;
      case "ready -> trashed":
        if (!asked("snapshot remove")) strange();
        return;
      case "ready -> removing":
        // After a power cut it may not be shown again before its volume is purged: it goes with that.
        if (line?.state === "removing") return;
        if (!asked("snapshot remove") && !this.#isLeft(next)) strange();
        return;
      case "trashed -> ready":
        if (!asked("snapshot restore")) strange();
        return;
      case "trashed -> removing":
        this.#checkPurge(before.snapshot);
        return;
      default:
        strange();
    }
  }

  /** Taken for a clone that never came to be. */
  #isLeft({ id, cause }: Snapshot): boolean {
    const from = [...this.#checker.volumes.values()].filter(
      ({ volume }) => volume.spec.from === id,
    );
    return (
      cause === "clone" &&
      from.every(({ state, acknowledged }) => !acknowledged && /removing|gone/.test(state))
    );
  }

  #checkPurge(snapshot: Snapshot): void {
    const { status } = snapshot;
    const expiresAt = status.state === "trashed" ? status.expiresAt : null;
    if (expiresAt !== null && expiresAt <= this.#checker.latestMs) return;
    this.#checker.breach(
      5,
      `${told(snapshot)}: gone for good, it would have expired at ${expiresAt}`,
    );
  }

  /** 17: it holds what its volume held at one instant since it was asked for. */
  #checkTaken(tracked: TrackedSnapshot, next: Snapshot, line: Tracked | undefined): void {
    const found = this.read(next.volume, next.layer);
    if (found === undefined || line === undefined) return;
    if (found === "absent") {
      this.#checker.breach(17, `${told(next)} is ready, and has no layer`);
      return;
    }
    tracked.values = found;
    const held = line.past.slice(tracked.since);
    if (held.some((values) => isSame(values, found))) return;
    const each = (name: string): boolean => held.some((had) => had.get(name) === found.get(name));
    if (next.consistency === "per-file" && FILE_NAMES.every(each)) return;
    const were = held.map(showValues).join(" or ");
    this.#checker.breach(17, `${told(next)} holds ${showValues(found)}; the volume had ${were}`);
  }

  /** 10, 16. */
  #checkGone(tracked: TrackedSnapshot): void {
    const { snapshot, state } = tracked;
    const line = this.#checker.volumes.get(snapshot.volume);
    // A restore that is taken back never showed the one that was to keep what it replaces.
    const due = state === "removing" || state === "creating" || line?.state === "removing";
    if (!due) this.#checker.breach(16, `record of ${told(snapshot)} (${state}) is gone`);
    tracked.state = "gone";
    const found = this.read(snapshot.volume, snapshot.layer);
    if (found === undefined || found === "absent") return;
    this.#checker.breach(10, `record of ${told(snapshot)} is gone, its layer is not`);
  }
}

function told({ id, cause }: Snapshot): string {
  return `snapshot ${id.slice(-12)} (${cause})`;
}
