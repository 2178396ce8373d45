import { volumeRoutes } from "../../src/api/docker-volume/routes.ts";
import { Failure } from "../../src/core/failure.ts";
import type { Snapshot } from "../../src/core/history/snapshot.ts";
import type { VolumeId } from "../../src/core/id.ts";
import { parseVolumeName, type VolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Volume } from "../../src/core/volume/volume.ts";
import { MOUNT_GRACE_MS } from "../../src/services/mounts.ts";
import type { Node } from "../../src/services/node.ts";
import type { Container } from "./containers.ts";
import type { Request, Tracked, Verb } from "./model.ts";
import { DEFAULT_POOL, describe, type NodeOnTrial } from "./node-on-trial.ts";

const MIB = 1024 ** 2;
const NAMES: readonly VolumeName[] = ["a", "b", "c", "d", "e"].map((n) =>
  parseVolumeName(`vol-${n}`),
);
const MOUNT_IDS = ["m1", "m2", "m3"];

/** Every form of a request for a new volume, with the limit and the mode that it must get. */
const CREATES = [
  { options: {}, sizeBytes: null, mode: null },
  { options: { size: "10M" }, sizeBytes: 10 * MIB, mode: null },
  { options: { size: "5M", uid: "7", gid: "8", mode: "0700" }, sizeBytes: 5 * MIB, mode: 0o700 },
  { options: { profile: "small" }, sizeBytes: 10 * MIB, mode: 0o770 },
  { options: { profile: "small", size: "20M" }, sizeBytes: 20 * MIB, mode: 0o770 },
  { options: { protect: "true" }, sizeBytes: null, mode: null },
] as const;

const BY = { author: "somebody" };

/** What became of a request. */
type Answer<T> =
  | { readonly was: "done"; readonly value: T }
  | { readonly was: "refused"; readonly failure: Failure }
  /** The daemon died first: whether it happened nobody knows. */
  | { readonly was: "lost" };

/** Asks as users and engines do, and compares each answer with what is known. */
export class Users {
  readonly #trial: NodeOnTrial;
  answered = 0;

  constructor(trial: NodeOnTrial) {
    this.#trial = trial;
  }

  /** One user's requests, one after the other. */
  async run(requests: number): Promise<void> {
    const { random } = this.#trial;
    for (let left = requests; left > 0; left--) {
      await this.#one();
      await this.#trial.sleep(random.below(4) === 0 ? random.below(20_000) : random.below(300));
    }
  }

  /** 15: every verb does what it says, now that nothing is wrong. */
  async rehearse(): Promise<void> {
    const { checker } = this.#trial;
    const name = parseVolumeName("rehearsal");
    const must = <T>(verb: string, answer: Answer<T>): void => {
      if (answer.was === "done") return;
      const why = answer.was === "lost" ? "lost" : describe(answer.failure);
      checker.breach(15, `${verb}: ${why}`);
    };
    must("create", await this.create(name, 0));
    must("mount", await this.mount(name, "m1"));
    must("unmount", await this.unmount(name, "m1"));
    must("get", await this.get(name));
    await this.#rehearseHistory(name, must);
    must("list", await this.list());
    must("remove", await this.remove(name, false));
    if (this.#trial.plan.trashKeepMs === 0) return;
    must("restore", await this.restore(name));
    must("remove again", await this.remove(name, false));
    const trashed = [...checker.volumes.values()].find(
      ({ state, volume }) => state === "trashed" && volume.name === name,
    );
    if (trashed !== undefined) must("purge", await this.purge(trashed.volume.id));
  }

  async #rehearseHistory(
    name: VolumeName,
    must: <T>(verb: string, answer: Answer<T>) => void,
  ): Promise<void> {
    if (this.#trial.node?.services.pools.describe(DEFAULT_POOL).driver.traits.layers !== true)
      return;
    const taken = await this.snapshot(name);
    must("snapshot", taken);
    if (taken.was !== "done") return;
    must("revert", await this.revert(name, taken.value));
    const copy = parseVolumeName("rehearsal-copy");
    must("clone", await this.clone(name, copy, true));
    must("remove the clone", await this.remove(copy, false));
    must("snapshot remove", await this.removeSnapshot(name, taken.value));
    if (this.#trial.plan.driver === "btrfs") must("resize", await this.resize(name, 20 * MIB));
  }

  async #one(): Promise<void> {
    const { random } = this.#trial;
    const name = this.#name();
    const dice = random.below(140);
    if (dice < 26) await this.create(name, random.below(CREATES.length));
    else if (dice < 50) await this.#runContainer(name);
    else if (dice < 66) await this.remove(name, random.below(2) === 0);
    else if (dice < 72) await this.restore(name);
    else if (dice < 78) await this.rename(name, this.#name());
    else if (dice < 82) await this.purge(this.#trashedId());
    else if (dice < 84) await this.empty();
    else if (dice < 89) await this.get(name);
    else if (dice < 93) await this.list();
    else if (dice < 96) await this.unmount(name, this.#mountId());
    else if (dice < 98) await this.mount(name, this.#mountId());
    else if (dice < 100) await this.update(name);
    else await this.#history(name, dice - 100);
  }

  async #history(name: VolumeName, dice: number): Promise<void> {
    const { random } = this.#trial;
    if (dice < 14) await this.snapshot(name);
    else if (dice < 22) await this.revert(name, this.#snapshotOf(name));
    else if (dice < 26) await this.removeSnapshot(name, this.#snapshotOf(name));
    else if (dice < 29) await this.restoreSnapshot();
    else if (dice < 35) await this.clone(name, this.#name(), random.below(2) === 0);
    else await this.resize(name, random.below(3) === 0 ? null : (5 + random.below(20)) * MIB);
  }

  snapshot(name: VolumeName): Promise<Answer<Snapshot>> {
    return this.#ask("snapshot", name, async (_request, { services }, signal) => {
      const { value } = await services.snapshots.create(name, BY, signal);
      return this.#shown(value);
    });
  }

  revert(name: VolumeName, snapshot: Snapshot | undefined): Promise<Answer<Snapshot>> {
    return this.#ask("revert", name, async (_request, { services }, signal) => {
      const ref = { volume: name, at: snapshot?.id ?? "0000" };
      const { kept, volume } = await services.restores.restore(name, ref, BY, signal);
      const tracked = this.#trial.checker.volumes.get(volume.value.id);
      if (tracked !== undefined) this.#trial.checker.checkContent(tracked);
      return kept.status.state === "ready" ? this.#shown(kept) : kept;
    });
  }

  removeSnapshot(name: VolumeName, snapshot: Snapshot | undefined): Promise<Answer<void>> {
    return this.#ask(
      "snapshot remove",
      snapshot?.id ?? "",
      async (_request, { services }, signal) => {
        await services.snapshots.remove({ volume: name, at: snapshot?.id ?? "0000" }, signal);
      },
    );
  }

  restoreSnapshot(): Promise<Answer<void>> {
    const { checker, random } = this.#trial;
    const all = [...checker.snapshots.all.values()].filter(({ state }) => state === "trashed");
    const id = all[random.below(Math.max(1, all.length))]?.snapshot.id ?? "none";
    return this.#ask("snapshot restore", id, async (_request, { services }) => {
      await services.snapshotTrash.restore(id);
    });
  }

  /** Of what a volume holds now, or of its newest snapshot. */
  clone(from: VolumeName, name: VolumeName, live: boolean): Promise<Answer<Volume>> {
    const at = live ? null : (this.#snapshotOf(from)?.id ?? null);
    return this.#ask("clone", name, async (request, { services }, signal) => {
      const options = { labels: {}, from: { volume: from, at } };
      const { value } = await services.volumes.create(name, options, signal);
      this.#seen(request, value.id, (v) => v.status.state === "ready" && v.name === name, "done");
      const tracked = this.#trial.checker.volumes.get(value.id);
      if (tracked !== undefined) tracked.acknowledged = true;
      return value;
    });
  }

  resize(name: VolumeName, sizeBytes: number | null): Promise<Answer<Volume>> {
    return this.#ask("resize", name, async (request, { services }, signal) => {
      const { value } = await services.resizes.resize(name, sizeBytes, signal);
      this.#seen(request, value.id, (v) => v.spec.sizeBytes === sizeBytes, "done");
      return value;
    });
  }

  /** 16: what was acknowledged is there. */
  #shown(snapshot: Snapshot): Snapshot {
    const { checker } = this.#trial;
    const state = checker.snapshots.all.get(snapshot.id)?.state;
    if (state === undefined || state === "creating") {
      checker.breach(16, `snapshot ${snapshot.id} was acknowledged, and is ${state ?? "unknown"}`);
    }
    return snapshot;
  }

  #snapshotOf(name: VolumeName): Snapshot | undefined {
    const { checker, random } = this.#trial;
    const all = [...checker.snapshots.all.values()].filter(
      ({ state, snapshot }) =>
        state === "ready" && checker.volumes.get(snapshot.volume)?.volume.name === name,
    );
    return all[random.below(Math.max(1, all.length))]?.snapshot;
  }

  async create(name: VolumeName, form: number): Promise<Answer<Volume>> {
    const { sizeBytes, mode, options } = CREATES[form] ?? CREATES[0];
    return this.#ask("create", name, async (request, { services }, signal) => {
      const { value } = await services.volumes.create(name, parseVolumeOptions(options), signal);
      const made = (v: Volume): boolean => v.status.state === "ready" && v.name === name;
      this.#seen(request, value.id, made, "done");
      const { spec } = value;
      // What the profile gave is not asked for: a volume that has had another limit since is the same.
      const sized = "size" in options || spec.profile === null;
      if ((sized && spec.sizeBytes !== sizeBytes) || (spec.mode ?? 0o755) !== (mode ?? 0o755)) {
        this.#trial.checker.breach(
          2,
          `${name}: ${JSON.stringify(spec)} for ${JSON.stringify(options)}`,
        );
      }
      const tracked = this.#trial.checker.volumes.get(value.id);
      if (tracked !== undefined) tracked.acknowledged = true;
      return value;
    });
  }

  async remove(name: VolumeName, askEngines: boolean): Promise<Answer<Volume>> {
    const answer = await this.#ask("remove", name, async (request, { services }, signal) => {
      const before = this.#holders(name, request.sentAt);
      try {
        const { value } = await services.volumes.remove(name, { askEngines }, signal);
        const out = (v: Volume): boolean => v.status.state === "trashed";
        this.#seen(request, value.id, out, "done");
        return value;
      } catch (thrown) {
        if (thrown instanceof Failure && / is in use by /.test(thrown.message)) {
          this.#ensureHeld(name, request, before, thrown);
        }
        throw thrown;
      }
    });
    return answer;
  }

  rename(name: VolumeName, to: VolumeName): Promise<Answer<Volume>> {
    if (name === to) return this.update(name);
    return this.#ask("rename", name, async (request, { services }, signal) => {
      const { value } = await services.volumes.update(name, { name: to }, signal);
      this.#seen(request, value.id, (v) => v.status.state === "ready" && v.name === to, "done");
      return value;
    });
  }

  update(name: VolumeName): Promise<Answer<Volume>> {
    const { random } = this.#trial;
    const protect = random.below(4) === 0;
    return this.#ask("update", name, async (request, { services }, signal) => {
      const { value } = await services.volumes.update(name, { protect }, signal);
      this.#seen(
        request,
        value.id,
        (v) => (v.protection !== null) === protect && v.name === name,
        "done",
      );
      return value;
    });
  }

  restore(text: string): Promise<Answer<Volume>> {
    return this.#ask("restore", text, async (request, { services }) => {
      const { value } = await services.trash.restore(text, undefined);
      this.#seen(
        request,
        value.id,
        (v) => v.status.state === "ready" && v.name === value.name,
        "done",
      );
      const tracked = this.#trial.checker.volumes.get(value.id);
      if (tracked !== undefined) this.#trial.checker.checkContent(tracked);
      return value;
    });
  }

  purge(id: VolumeId): Promise<Answer<void>> {
    return this.#ask("purge", id, async (_request, { services }, signal) => {
      await services.trash.purge(id, signal);
      const { checker } = this.#trial;
      const state = checker.volumes.get(id)?.state;
      if (state !== "gone") checker.breach(11, `purge ${id}: answered done, and it is ${state}`);
    });
  }

  empty(): Promise<Answer<void>> {
    return this.#ask("empty", "", async (_request, { services }, signal) => {
      await services.trash.empty(signal);
    });
  }

  async get(name: VolumeName): Promise<Answer<Volume>> {
    const { checker } = this.#trial;
    return this.#ask("get", name, async (request, { services }) => {
      try {
        const { value } = await services.volumes.get(name);
        checker.ensureShown(value);
        this.#seen(
          request,
          value.id,
          (v) => v.status.state === value.status.state && v.name === name,
          "found",
        );
        return value;
      } catch (thrown) {
        const there = checker.steady(name, request.from);
        if (Failure.from(thrown).code === "not_found" && there !== undefined) {
          checker.breach(1, `${name} is not found, and ${there.volume.id} has the name`);
        }
        throw thrown;
      }
    });
  }

  list(): Promise<Answer<void>> {
    const { checker } = this.#trial;
    return this.#ask("list", "", async (request, { services }) => {
      const listed = (await services.volumes.list()).map(({ value }) => value);
      for (const volume of listed) {
        checker.ensureShown(volume);
        const { id, name, status } = volume;
        this.#seen(
          request,
          id,
          (v) => v.status.state === status.state && v.name === name,
          "listed",
        );
      }
      const ids = new Set(listed.map(({ id }) => id));
      for (const { volume } of checker.volumes.values()) {
        const there = checker.steady(volume.name, request.from);
        if (there === undefined || ids.has(there.volume.id)) continue;
        checker.breach(1, `${there.volume.name} is not listed`);
      }
    });
  }

  /** As the engine's plugin protocol does it. */
  async mount(name: VolumeName, mountId: string): Promise<Answer<readonly [Tracked, string]>> {
    return this.#ask("mount", name, async (request, { services }, signal) => {
      this.#noteTry(name, mountId);
      const path = await this.#mountCall(services, name, mountId, signal);
      const tracked = [...this.#trial.checker.volumes.values()].find(({ volume }) =>
        path.includes(volume.head),
      );
      if (tracked === undefined) throw new Error(`${path} is of a volume that is known`);
      const { id } = tracked.volume;
      this.#seen(request, id, (v) => v.status.state === "ready" && v.name === name, "found");
      if (tracked.state !== "ready") {
        this.#trial.checker.breach(8, `${name} was mounted, and it is ${tracked.state}`);
      }
      // The minute counts from when the daemon wrote it down: at the earliest, from the question.
      tracked.hints.set(mountId, request.sentAt);
      return [tracked, path] as const;
    });
  }

  async #mountCall(
    services: Node["services"],
    name: VolumeName,
    mountId: string,
    signal: AbortSignal,
  ): Promise<string> {
    try {
      const body = JSON.stringify({ Name: name, ID: mountId });
      const answer = await callDriver(services, "/VolumeDriver.Mount", body, signal);
      return String(answer["Mountpoint"]);
    } finally {
      this.#noteTry(name, mountId);
    }
  }

  async unmount(name: VolumeName, mountId: string): Promise<Answer<void>> {
    // Whatever becomes of it, a Mount that was answered by now protects nothing any more.
    const forget = (): void => {
      for (const { volume, hints } of this.#trial.checker.volumes.values()) {
        if (volume.name === name) hints.delete(mountId);
      }
    };
    forget();
    const answer = await this.#ask("unmount", name, async (_request, { services }, signal) => {
      const body = JSON.stringify({ Name: name, ID: mountId });
      await callDriver(services, "/VolumeDriver.Unmount", body, signal);
    });
    forget();
    return answer;
  }

  /** `docker run`: Create, Mount, a process that writes, and mostly Unmount. */
  async #runContainer(name: VolumeName): Promise<void> {
    const { random, containers } = this.#trial;
    if (random.below(2) === 0) await this.create(name, random.below(CREATES.length));
    const mountId = this.#mountId();
    const mounted = await this.mount(name, mountId);
    if (mounted.was !== "done") return;
    const [tracked, path] = mounted.value;
    await this.#trial.sleep(random.below(4) === 0 ? random.below(30_000) : random.below(200));
    // The power failed, and the engine is gone as well; or it took the Mount back. Neither goes on from here.
    if (!tracked.hints.has(mountId)) return;
    const container = containers.start(tracked, name, path);
    if (container === undefined) return;
    await this.#work(container);
    containers.stop(container);
    if (random.below(3) > 0) containers.remove(container);
    if (random.below(5) > 0) await this.unmount(name, mountId);
  }

  async #work(container: Container): Promise<void> {
    const { random, containers } = this.#trial;
    for (let writes = 1 + random.below(4); writes > 0 && container.running; writes--) {
      containers.write(container);
      await this.#trial.sleep(random.below(8) === 0 ? random.below(40_000) : random.below(500));
    }
  }

  /** Sends one request, and waits for its answer or for the daemon's death. */
  async #ask<T>(
    verb: Verb,
    name: string,
    work: (request: Request, node: Node, signal: AbortSignal) => Promise<T>,
  ): Promise<Answer<T>> {
    const { checker, machine, chaos, plan, random } = this.#trial;
    while (this.#trial.node === undefined) await this.#trial.sleep(200);
    const sentAt = machine.clock.monotonic();
    const request: Request = { verb, name, from: checker.revision, sentAt };
    checker.requests.add(request);
    const patience = new AbortController();
    if (chaos.on && plan.troubles.has("impatience") && random.below(8) === 0) {
      void this.#trial.sleep(random.below(2_000)).then(() => patience.abort(GAVE_UP));
    }
    const done = work(request, this.#trial.node, patience.signal).then(
      (value): Answer<T> => ({ was: "done", value }),
      (thrown: unknown): Answer<T> => ({ was: "refused", failure: this.#judge(request, thrown) }),
    );
    const answer = await Promise.race([
      done,
      this.#trial.whenDead().then((): Answer<T> => ({ was: "lost" })),
    ]);
    chaos.mix(answer.was.length + verb.length * 7);
    // What a lost request began, the store may have got in its last moment.
    if (answer.was !== "lost") checker.requests.delete(request);
    else if (verb === "mount") this.#noteTry(name, "lost");
    if (answer.was === "lost") patience.abort(GAVE_UP);
    this.answered++;
    return answer;
  }

  #judge({ verb, name }: Request, thrown: unknown): Failure {
    const failure = Failure.from(thrown);
    this.#trial.chaos.mix(failure.code.length);
    if (failure.code === "internal") {
      this.#trial.checker.breach(14, `${verb} ${name}: ${describe(thrown)}`);
    }
    return failure;
  }

  #seen(request: Request, id: string, claim: (v: Volume) => boolean, what: string): void {
    this.#trial.checker.ensureSeen(request, id, claim, what);
  }

  /** How many containers, or Mounts of the minute before `since` or later, any volume of this name has. */
  #holders(name: string, since: number): number {
    const { checker, containers } = this.#trial;
    let held = containers.list(name).length;
    for (const tracked of checker.volumes.values()) {
      if (tracked.volume.name !== name) continue;
      held += tracked.containers;
      for (const at of tracked.tries.values()) if (at >= since - MOUNT_GRACE_MS) held++;
    }
    return held;
  }

  #noteTry(name: string, mountId: string): void {
    const { checker, machine } = this.#trial;
    for (const { volume, tries } of checker.volumes.values()) {
      if (volume.name === name) tries.set(mountId, machine.clock.monotonic());
    }
  }

  /** 13. */
  #ensureHeld(name: string, request: Request, before: number, refusal: Failure): void {
    const { checker } = this.#trial;
    if (before + this.#holders(name, request.sentAt) > 0) return;
    for (const other of checker.requests) {
      if (other !== request && other.name === name && other.verb === "mount") return;
    }
    checker.breach(13, `remove ${name}: ${refusal.message}`);
  }

  #name(): VolumeName {
    const { random, plan } = this.#trial;
    return NAMES[random.below(plan.names)] ?? parseVolumeName("other");
  }

  #mountId(): string {
    const { random } = this.#trial;
    return MOUNT_IDS[random.below(MOUNT_IDS.length)] ?? `m${random.below(1_000)}`;
  }

  #trashedId(): VolumeId {
    const { checker, random } = this.#trial;
    const all = [...checker.volumes.values()].filter(({ state }) => state === "trashed");
    return (all[random.below(Math.max(1, all.length))]?.volume.id ?? "none") as VolumeId;
  }
}

/** One call of Docker's volume plugin protocol. */
async function callDriver(
  services: Node["services"],
  call: string,
  body: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const route = volumeRoutes({ services })[call];
  if (route === undefined) throw new Error(`${call} is a call of the protocol`);
  return route(body, signal);
}

const GAVE_UP = new Failure("cancelled", "The client went away");
