import { beforeEach, describe, expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import type { Snapshot } from "../../src/core/history/snapshot.ts";
import { type LayerId, newId, type SnapshotId, type VolumeId } from "../../src/core/id.ts";
import { parsePoolName, parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Volume } from "../../src/core/volume/volume.ts";
import type { Node } from "../../src/services/node.ts";
import type { Recorded } from "../../src/services/records.ts";
import { Schedules, type SnapshotsForSchedules } from "../../src/services/schedules.ts";
import { World } from "./world.ts";

/* When scheduled snapshots are taken and removed; how a snapshot is taken is another's business. */

const { signal } = new AbortController();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const data = parseVolumeName("data");
const sick = parseVolumeName("sick");
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Snapshots as records only. */
class Book implements SnapshotsForSchedules {
  readonly all = new Map<string, Snapshot[]>();
  /** Called before each creation; what it throws is what creating throws. */
  onCreate: (line: string) => Promise<void> | void = () => undefined;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  times(line: string): readonly string[] {
    return (this.all.get(line) ?? []).map(({ createdAt }) => new Date(createdAt).toISOString());
  }

  add(line: string, cause: Snapshot["cause"] = "scheduled"): void {
    const { clock, random } = this.#world.machine.start();
    const snapshot: Snapshot = {
      ...{ id: newId<SnapshotId>(clock, random), layer: newId<LayerId>(clock, random) },
      ...{
        volume: "v" as VolumeId,
        parent: null,
        name: null,
        message: "",
        labels: {},
        author: "test",
      },
      ...{ createdAt: clock.now(), cause, consistency: "atomic", group: null, protection: null },
      status: { state: "ready" },
    };
    this.all.set(line, [...(this.all.get(line) ?? []), snapshot]);
  }

  async create(line: string): Promise<void> {
    await this.onCreate(line);
    this.add(line);
  }

  async list(line: string) {
    return (this.all.get(line) ?? []).map((value) => ({ value, revision: 1 }));
  }

  async discard({ name }: Volume, { value }: Recorded<Snapshot>): Promise<void> {
    this.all.set(
      name,
      (this.all.get(name) ?? []).filter((one) => one !== value),
    );
  }
}

let world: World;
let node: Node;
let book: Book;
let schedules: Schedules;

/** Another daemon on the same records. */
function restart(): Schedules {
  const { volumes, pools, events } = node.services;
  const { clock } = world.machine;
  return new Schedules({ volumes, snapshots: book, pools, events, clock, log: silent });
}

beforeEach(async () => {
  world = new World("directory");
  node = await world.boot();
  book = new Book(world);
  schedules = restart();
});

async function make(options: Record<string, string>, name = data): Promise<Volume> {
  return (await node.services.volumes.create(name, parseVolumeOptions(options), signal)).value;
}

/** Minutes go by, each with a tick. */
async function pass(minutes: number, ticking = () => schedules): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    world.machine.clock.jump(MINUTE);
    await ticking().tick(signal);
  }
}

describe("a volume with a schedule", () => {
  it("gets its first snapshot at once, then one at each multiple of its interval", async () => {
    await make({ schedule: "15m" });
    await schedules.tick(signal);
    world.machine.clock.jump(7 * MINUTE);
    await pass(30);
    expect(book.times("data")).toEqual([
      ...["2026-01-01T00:00:00.000Z", "2026-01-01T00:15:00.000Z", "2026-01-01T00:30:00.000Z"],
    ]);
  });

  it("gets none twice and misses none when the daemon restarts at every tick", async () => {
    await make({ schedule: "5m", keep: "all" });
    await pass(60, restart);
    expect(book.times("data")).toHaveLength(12 + 1);
    expect(new Set(book.times("data").map((time) => time.slice(0, 16))).size).toBe(13);
  });

  it("gets one for all those that were missed while the daemon was away", async () => {
    await make({ schedule: "15m" });
    await schedules.tick(signal);
    world.machine.clock.jump(5 * HOUR);
    schedules = restart();
    await pass(2);
    expect(book.times("data")).toHaveLength(2);
  });

  it("keeps what its rules say, and that is less when they change", async () => {
    const { volumes } = node.services;
    await make({ schedule: "10m", keep: "last=2,hourly=3" });
    await pass(6 * 60);
    expect(book.times("data").map((time) => time.slice(11, 16))).toEqual([
      ...["04:50", "05:50", "06:00"],
    ]);
    await volumes.update(data, { schedule: { keep: { last: 1 } } }, signal);
    await pass(1);
    expect(book.times("data").map((time) => time.slice(11, 16))).toEqual(["06:00"]);
    await volumes.update(data, { schedule: { everyMs: null } }, signal);
    await pass(60);
    expect(book.times("data")).toHaveLength(1);
  });

  it("goes on when the clock is set back, and does not start again when it is set right", async () => {
    await make({ schedule: "15m", keep: "all" });
    world.machine.clock.jump(24 * HOUR);
    await schedules.tick(signal);
    world.machine.clock.jump(-24 * HOUR);
    await pass(30);
    expect(book.times("data").slice(1)).toHaveLength(3);
    const before = book.times("data").length;
    world.machine.clock.jump(23 * HOUR + 30 * MINUTE);
    await schedules.tick(signal);
    expect(book.times("data").length - before).toBeLessThanOrEqual(1);
  });
});

describe("the status", () => {
  it("says last, next, kept and what would be lost", async () => {
    const volume = await make({ schedule: "1h" });
    expect(await schedules.status(volume)).toMatchObject({
      ...{ lastAt: null, kept: 0, lossWindowMs: null, failing: null },
      nextAt: world.machine.clock.now(),
    });
    await schedules.tick(signal);
    const taken = world.machine.clock.now();
    world.machine.clock.jump(20 * MINUTE);
    expect(await schedules.status(volume)).toMatchObject({
      ...{ lastAt: taken, nextAt: taken + HOUR, kept: 1, lossWindowMs: 20 * MINUTE },
    });
    book.add("data", "asked");
    expect(await schedules.status(volume)).toMatchObject({ kept: 1, lossWindowMs: 0 });
    expect(await schedules.status(await make({}, sick))).toBe(null);
  });
});

describe("a schedule that fails", () => {
  beforeEach(async () => {
    await make({ schedule: "15m" }, sick);
    await make({ schedule: "15m" });
  });

  it("keeps no other, is told once, tried again each minute, and told when it works again", async () => {
    book.onCreate = (line) => {
      if (line === "sick") throw new Failure("resource_exhausted", "The pool is full");
    };
    await pass(20);
    expect(book.times("data")).toHaveLength(2);
    const volume = (await node.services.volumes.get(sick)).value;
    expect((await schedules.status(volume))?.failing).toBe("The pool is full");
    book.onCreate = () => undefined;
    await pass(1);
    expect(book.times("sick")).toHaveLength(1);
    const told = node.services.events.since(0).filter(({ type }) => type.startsWith("schedule."));
    expect(told.map(({ type, subject }) => `${type} ${subject}`)).toEqual([
      "schedule.failed sick",
      "schedule.recovered sick",
    ]);
  });

  it("and hangs keeps no other either, and is not begun twice", async () => {
    let begun = 0;
    book.onCreate = async (line) => {
      if (line !== "sick") return;
      begun++;
      await new Promise(() => undefined);
    };
    for (let minute = 0; minute < 20; minute++) {
      world.machine.clock.jump(MINUTE);
      void schedules.tick(signal);
      await node.services.volumes.list();
    }
    await expect.poll(() => book.times("data").length).toBeGreaterThanOrEqual(2);
    expect(begun).toBe(1);
  });
});

describe("a pool that can tell that nothing has changed", () => {
  it("gets no snapshot until something has, and then the next one in time", async () => {
    let changed = false;
    const { driver } = node.services.pools.describe(parsePoolName("default"));
    Object.assign(driver, { changedSince: async () => changed });
    const volume = await make({ schedule: "15m", keep: "all" });
    await schedules.tick(signal);
    await pass(70);
    expect(book.times("data")).toHaveLength(1);
    expect((await schedules.status(volume))?.lossWindowMs).toBeLessThan(15 * MINUTE);
    changed = true;
    await pass(15);
    expect(book.times("data")).toHaveLength(2);
    changed = false;
    await pass(15);
    expect(book.times("data")).toHaveLength(2);
  });

  it("whose change is heard of late still gets its snapshot in that turn", async () => {
    let looks = 0;
    const { driver } = node.services.pools.describe(parsePoolName("default"));
    Object.assign(driver, { changedSince: async () => ++looks > 1 });
    await make({ schedule: "15m" });
    await schedules.tick(signal);
    await pass(16);
    expect(book.times("data").map((time) => time.slice(11, 16))).toEqual(["00:00", "00:16"]);
  });
});

describe("a whole node", () => {
  it("takes a snapshot of what was written, none of what was not, and removes for good what is not kept", async () => {
    world = new World("btrfs");
    node = await world.boot();
    const { schedules: own, volumes, mounts, history, snapshotTrash } = node.services;
    const made = await make({ schedule: "15m", keep: "last=2" });
    const path = await mounts.path(made, signal);
    const write = (text: string) => {
      world.machine.write(`${path}/file`, text);
      world.machine.sync();
    };
    for (const text of ["one", "two", "three"]) {
      write(text);
      await pass(15, () => own);
      // Nothing is written for an hour.
      await pass(60, () => own);
    }
    const kept = (await history.list(data)).map(({ value }) => value);
    expect(kept.map(({ cause, author }) => `${cause} by ${author}`)).toEqual([
      ...["scheduled by schedule", "scheduled by schedule"],
    ]);
    const driver = node.services.pools.get(parsePoolName("default"));
    const texts = kept.map(async ({ layer }) => {
      const [mount] = await driver.mounts(layer, { readOnly: true }, signal);
      return world.machine.read(`${mount?.source}/file`);
    });
    expect(await Promise.all(texts)).toEqual(["two", "three"]);
    expect(await snapshotTrash.list()).toEqual([]);
    expect(await driver.list(signal)).toHaveLength(3);
    expect(await own.status((await volumes.get(data)).value)).toMatchObject({
      ...{ kept: 2, failing: null },
    });
  });

  it("keeps what was named or protected meanwhile, however old", async () => {
    world = new World("directory");
    node = await world.boot();
    const { schedules: own, history, snapshots } = node.services;
    await make({ schedule: "15m", keep: "last=1" });
    await pass(1, () => own);
    const [first] = await history.list(data);
    const ref = { volume: data, at: String(first?.value.id) };
    await snapshots.update(ref, { protect: true, author: "ann" });
    await pass(60, () => own);
    const times = (await history.list(data)).map(({ value }) => value.id);
    expect(times).toHaveLength(2);
    expect(times[0]).toBe(first?.value.id);
    await snapshots.update(ref, { protect: false, author: "ann" });
    await pass(15, () => own);
    expect(await history.list(data)).toHaveLength(1);
  });
});
