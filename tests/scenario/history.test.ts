import { beforeEach, describe, expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { parseLineName, parseRef } from "../../src/core/history/ref.ts";
import { parsePointName, type Snapshot, shortId } from "../../src/core/history/snapshot.ts";
import { parseVolumeName, type VolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

const data = parseVolumeName("data");
const copy = parseVolumeName("copy");
const signal = new AbortController().signal;
const by = { author: "ann" };
const before = parsePointName("before", "snapshot");
const dev = parsePointName("dev", "branch");
const onData = (at: string) => parseRef(`data@${at}`);

describe.each(["btrfs", "directory"] as const)("on driver %s", (driver) => {
  const limits = driver === "btrfs";
  const limit: Record<string, string> = limits ? { size: "10M" } : {};
  let world: World;
  let node: Node;

  beforeEach(async () => {
    world = new World(driver);
    node = await world.boot();
    await node.services.volumes.create(data, parseVolumeOptions(limit), signal);
  });

  async function pathOf(name: VolumeName): Promise<string> {
    const { value } = await node.services.volumes.get(name);
    return node.services.mounts.path(value, signal);
  }

  async function write(name: VolumeName, text: string): Promise<void> {
    world.machine.write(`${await pathOf(name)}/file`, text);
  }

  async function read(name: VolumeName): Promise<unknown> {
    return world.machine.read(`${await pathOf(name)}/file`);
  }

  /** A snapshot of `data` after `text` was written; a while later than the one before. */
  async function take(text: string, name?: string): Promise<Snapshot> {
    await world.machine.clock.advance(1_000);
    await write(data, text);
    const named = name === undefined ? {} : { name: parsePointName(name, "snapshot") };
    return (await node.services.snapshots.create(data, { ...by, ...named }, signal)).value;
  }

  function restore(at: string, line = data) {
    return node.services.restores.restore(line, onData(at), by, signal);
  }

  describe("restore", () => {
    it("brings back what was, keeps what it replaces, and can be undone", async () => {
      await take("one", "before");
      await write(data, "two");
      const { kept } = await restore("before");
      expect(await read(data)).toBe("one");
      expect(kept).toMatchObject({ cause: "restore", author: "ann" });
      await write(data, "three");
      await restore(shortId(kept.id));
      expect(await read(data)).toBe("two");
    });

    it("is refused while a process has the volume, and changes nothing", async () => {
      await take("one", "before");
      await write(data, "two");
      const source = await pathOf(data);
      const mounts = [{ source, target: "/data" }];
      world.machine.process({ pid: 77, command: "db", containerId: "c".repeat(64), mounts });
      await expect(restore("before")).rejects.toMatchObject({
        code: "failed_precondition",
        message: expect.stringContaining("in use by container cccccccccccc"),
      });
      expect(await read(data)).toBe("two");
      expect(await node.services.history.list(data)).toHaveLength(1);
    });

    it.runIf(limits)(
      "of what holds more than the limit is refused, and changes nothing",
      async () => {
        world.machine.write(`${await pathOf(data)}/big`, 8 * 1024 ** 2);
        await take("one", "before");
        const path = await pathOf(data);
        const { files } = world.machine.start();
        await files.remove(`${path}/big`);
        await node.services.resizes.resize(data, 4 * 1024 ** 2, signal);
        await expect(restore("before")).rejects.toMatchObject({ code: "failed_precondition" });
        expect(await pathOf(data)).toBe(path);
        expect(await node.services.history.list(data)).toHaveLength(1);
        expect((await node.reconcile.compare(signal)).orphans).toEqual([]);
      },
    );
  });

  describe("clones and branches", () => {
    it("of a snapshot change alone, and outlive it", async () => {
      await take("one", "before");
      const options = { labels: {}, from: onData("before") };
      const { value } = await node.services.volumes.create(copy, options, signal);
      expect(value.spec.sizeBytes).toBe(limits ? 10 * 1024 ** 2 : null);
      await write(copy, "mine");
      await node.services.snapshots.remove(onData("before"), signal);
      const [first] = await node.services.snapshotTrash.list();
      const removed = first?.snapshot.value as Snapshot;
      await node.services.snapshotTrash.purge(removed.volume, removed.id, signal);
      expect(await read(copy)).toBe("mine");
      await node.services.volumes.remove(data, { askEngines: false }, signal);
      await node.services.trash.empty(signal);
      expect(await read(copy)).toBe("mine");
      expect((await node.services.history.log(copy)).length).toBe(0);
    });

    it("of a volume that lives start from a snapshot taken for them, once", async () => {
      await write(data, "now");
      const options = { labels: {}, from: parseRef("data") };
      const first = await node.services.volumes.create(copy, options, signal);
      const again = await node.services.volumes.create(copy, options, signal);
      expect(again.value.id).toBe(first.value.id);
      expect(await read(copy)).toBe("now");
      const taken = await node.services.history.list(data);
      expect(taken.map(({ value }) => [value.cause, value.message])).toEqual([
        ["clone", "for copy"],
      ]);
      expect(first.value.spec.from).toBe(taken[0]?.value.id);
    });

    it("keep what was taken for another one that failed, once they start from it", async () => {
      const { services } = node;
      const other = parseVolumeName("other");
      const driver = services.pools.get(services.pools.names()[0] as never);
      const { prepare } = driver;
      let taken: Snapshot | undefined;
      const prepareOnce: typeof prepare = async (layer, how, ...rest) => {
        Object.assign(driver, { prepare });
        await how.recorded;
        taken = (await services.history.list(data))[0]?.value;
        const from = onData(shortId((taken as Snapshot).id));
        await services.volumes.create(other, { labels: {}, from }, signal);
        throw new Failure("unavailable", `Injected: no ${layer}, ${rest.length}`);
      };
      Object.assign(driver, { prepare: prepareOnce });
      await expect(
        services.volumes.create(copy, { labels: {}, from: parseRef("data") }, signal),
      ).rejects.toMatchObject({ code: "unavailable" });
      const log = await services.history.log(other);
      expect(log.map(({ snapshot }) => snapshot.value.id)).toEqual([taken?.id]);
    });

    it("never see what was taken for another one before that is recorded", async () => {
      const other = parseVolumeName("other");
      for (let nth = 1; nth < 100; nth++) {
        const trial = new World(driver);
        const { services } = await trial.boot();
        await services.volumes.create(data, parseVolumeOptions(limit), signal);
        trial.machine.crash();
        const plain = trial.build();
        await plain.node.start(signal);
        trial.machine.crash();
        const daemon = trial.build({ nth: plain.calls() + nth, when: "after" });
        await daemon.node.start(signal);
        const { volumes, history } = daemon.node.services;
        const live = { labels: {}, from: parseRef("data") };
        await volumes.create(copy, live, signal).catch(() => undefined);
        if (daemon.hit() === undefined) return;
        const shown = await history.list(data);
        for (const { value } of shown) {
          await volumes.create(other, { labels: {}, from: onData(shortId(value.id)) }, signal);
        }
        await daemon.node.reconcile.resume(signal);
        expect(await history.list(data), `call ${nth}, ${daemon.hit()}`).toEqual(shown);
      }
      throw new Error("never ran to completion");
    });

    it.runIf(limits)("that cannot be leave no snapshot behind", async () => {
      const options = { ...parseVolumeOptions({ size: "4M" }), from: parseRef("data") };
      world.machine.write(`${await pathOf(data)}/big`, 8 * 1024 ** 2);
      await expect(node.services.volumes.create(copy, options, signal)).rejects.toMatchObject({
        code: "failed_precondition",
      });
      expect(await node.services.history.list(data)).toEqual([]);
      expect((await node.reconcile.compare(signal)).orphans).toEqual([]);
    });

    it("take no owner, no mode and no other pool than their origin's", async () => {
      await take("one", "before");
      for (const [key, value] of [
        ["uid", "7"],
        ["mode", "0700"],
        ["pool", "other"],
      ] as const) {
        const options = { ...parseVolumeOptions({ [key]: value }), from: onData("before") };
        await expect(node.services.volumes.create(copy, options, signal)).rejects.toMatchObject({
          code: "invalid_argument",
          message: expect.stringContaining(key),
        });
      }
    });

    it("branches are volumes of their own, with a history that goes back through their base", async () => {
      await take("one", "before");
      await world.machine.clock.advance(1_000);
      const { value } = await node.services.branches.create(data, dev, { ...by }, signal);
      await take("two", "later");
      expect(value.name).toBe("data@dev");
      await write(value.name, "dev's");
      await node.services.snapshots.create(value.name, { ...by, message: "mine" }, signal);
      const log = await node.services.history.log(value.name);
      expect(log.map(({ line, snapshot }) => [line.value.name, snapshot.value.message])).toEqual([
        ["data@dev", "mine"],
        ["data", "for data@dev"],
        ["data", ""],
      ]);
      expect(await read(data)).toBe("two");
      await restore("before", value.name);
      expect(await read(value.name)).toBe("one");
      expect(await read(data)).toBe("two");
    });

    it("branches keep their volume from removal and go with its name", async () => {
      await node.services.branches.create(data, dev, { ...by }, signal);
      await expect(
        node.services.volumes.remove(data, { askEngines: false }, signal),
      ).rejects.toMatchObject({ message: expect.stringContaining("lagan branch rm data dev") });
      await node.services.volumes.update(data, { name: copy }, signal);
      const names = (await node.services.volumes.list()).map(({ value }) => value.name);
      expect(names).toEqual(["copy", "copy@dev"]);
      const branch = names[1] as VolumeName;
      await expect(
        node.services.volumes.update(branch, { name: data }, signal),
      ).rejects.toMatchObject({ code: "failed_precondition" });
    });
  });

  describe("names and refs", () => {
    it("finds a snapshot by name and by the beginning of its id, and says what is wrong otherwise", async () => {
      const { id } = await take("one", "before");
      const found = async (at: string) => (await node.services.history.get(onData(at))).snapshot;
      expect((await found("before")).value.id).toBe(id);
      expect((await found(shortId(id))).value.id).toBe(id);
      expect((await found(shortId(id).slice(0, 4))).value.id).toBe(id);
      expect((await found(id)).value.id).toBe(id);
      await expect(found("after")).rejects.toMatchObject({ code: "not_found" });
      await expect(found("0")).rejects.toMatchObject({
        message: expect.stringContaining("4 digits"),
      });
    });

    it("gives a name once in a volume and its branches", async () => {
      await take("one", "before");
      await node.services.branches.create(data, dev, { ...by }, signal);
      const { snapshots, branches } = node.services;
      const taken = { code: "already_exists" };
      const onDev = parseVolumeName("data");
      await expect(snapshots.create(onDev, { ...by, name: before }, signal)).rejects.toMatchObject(
        taken,
      );
      await expect(snapshots.create(data, { ...by, name: dev }, signal)).rejects.toMatchObject(
        taken,
      );
      await expect(branches.create(data, before, by, signal)).rejects.toMatchObject(taken);
      const both = await Promise.allSettled(
        [data, data].map((line) =>
          snapshots.create(line, { ...by, name: parsePointName("both", "snapshot") }, signal),
        ),
      );
      expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    });

    it("does not remove a protected snapshot, and says who protected it and when", async () => {
      await take("one", "before");
      const { snapshots } = node.services;
      await snapshots.update(onData("before"), { protect: true, author: "bob" });
      const [one] = await node.services.history.list(data);
      for (const at of ["before", one?.value.id ?? ""]) {
        await expect(snapshots.remove(onData(at), signal)).rejects.toMatchObject({
          code: "failed_precondition",
          message: expect.stringMatching(
            /"data@before": it is protected, by bob at 20\d\d-.* UTC; first: lagan snapshot set data@before --no-protect/,
          ),
        });
      }
      await snapshots.update(onData("before"), { protect: false, author: "bob" });
      await snapshots.remove(onData("before"), signal);
      expect(await node.services.history.list(data)).toEqual([]);
    });
  });

  describe("the trash", () => {
    it("gives a snapshot back, without its name when that is taken", async () => {
      await take("one", "before");
      await node.services.snapshots.remove(onData("before"), signal);
      await take("two", "before");
      const { snapshot } = await node.services.snapshotTrash.restore("data@before");
      expect(snapshot.value.name).toBeNull();
      expect(await node.services.history.list(data)).toHaveLength(2);
    });

    it("gives a volume back with its snapshots", async () => {
      await take("one", "before");
      await node.services.volumes.remove(data, { askEngines: false }, signal);
      await expect(node.services.history.list(data)).rejects.toMatchObject({ code: "not_found" });
      await node.services.trash.restore("data", undefined);
      expect(await node.services.history.list(data)).toHaveLength(1);
      await restore("before");
      expect(await read(data)).toBe("one");
    });

    it("expires snapshots", async () => {
      await take("one", "before");
      await node.services.snapshots.remove(onData("before"), signal);
      await node.services.snapshotTrash.expire(signal);
      expect(await node.services.snapshotTrash.list()).toHaveLength(1);
      await world.machine.clock.advance(86_400_001);
      await node.services.snapshotTrash.expire(signal);
      expect(await node.services.snapshotTrash.list()).toEqual([]);
      expect(
        await node.services.pools.get(node.services.pools.names()[0] as never).list(signal),
      ).toHaveLength(1);
    });
  });

  it("takes a group together, or none of it", async () => {
    const { snapshots, volumes, history } = node.services;
    await volumes.create(copy, parseVolumeOptions({}), signal);
    const group = parsePointName("nightly", "group");
    const taken = await snapshots.createGroup([data, copy], { ...by, group }, signal);
    expect(taken.snapshots.map(({ value }) => value.group)).toEqual([group, group]);
    expect(taken.skewMs).toBeGreaterThanOrEqual(0);
    const absent = parseVolumeName("absent");
    await expect(
      snapshots.createGroup([data, absent], { ...by, group }, signal),
    ).rejects.toMatchObject({ code: "not_found" });
    expect(await history.list(data)).toHaveLength(1);
  });

  it("takes a group at one instant where the driver can, and does not wait for one that cannot be taken", async () => {
    const { snapshots, volumes, history, pools } = node.services;
    await volumes.create(copy, parseVolumeOptions({}), signal);
    const pool = pools.get(pools.names()[0] as never);
    const { snapshot, traits } = pool;
    const together: number[] = [];
    const joined: typeof snapshot = (active, as, ours, how) =>
      how?.seat?.join([active, as] as const, async (parts) => {
        together.push(parts.length);
        for (const [source, target] of parts) await snapshot(source, target, ours);
      }) ?? Promise.reject(new Error("no seat"));
    Object.defineProperty(pool, "traits", { value: { ...traits, joinedSnapshots: true } });
    Object.assign(pool, { snapshot: joined });
    const group = parsePointName("nightly", "group");
    const take = () => snapshots.createGroup([data, copy, data], { ...by, group }, signal);
    expect(await take()).toMatchObject({ skewMs: 0, snapshots: { length: 2 } });
    expect(together).toEqual([2]);
    const refused: typeof snapshot = (active, ...rest) =>
      together.push(0) === 2
        ? Promise.reject(new Failure("unavailable", "Injected"))
        : joined(active, ...rest);
    Object.assign(pool, { snapshot: refused });
    await expect(take()).rejects.toMatchObject({ code: "unavailable" });
    expect(together).toEqual([2, 0, 0, 1]);
    expect(await history.list(data)).toHaveLength(1);
    expect(await history.list(copy)).toHaveLength(1);
  });

  it("keeps what two restores replaced, though the first one's keeping failed", async () => {
    await take("one", "before");
    await write(data, "two");
    const { services } = node;
    const driver = services.pools.get(services.pools.names()[0] as never);
    const { commit } = driver;
    Object.assign(driver, { commit: () => Promise.reject(new Failure("unavailable", "Injected")) });
    await restore("before");
    Object.assign(driver, { commit });
    await write(data, "three");
    await restore("before");
    await node.reconcile.resume(signal);
    const kept = (await services.history.list(data)).filter(
      ({ value }) => value.cause === "restore",
    );
    const held = new Set<unknown>();
    for (const { value } of kept) {
      const [mount] = await driver.mounts(value.layer, { readOnly: true }, signal);
      held.add(world.machine.read(`${mount?.source}/file`));
    }
    expect(held).toEqual(new Set(["two", "three"]));
    expect((await node.reconcile.compare(signal)).orphans).toEqual([]);
  });

  it("gives a branch back to its volume, whatever that is called by now", async () => {
    const { branches, volumes, trash } = node.services;
    const { value } = await branches.create(data, dev, { ...by }, signal);
    await volumes.remove(value.name, { askEngines: false }, signal);
    await volumes.update(data, { name: copy }, signal);
    expect((await trash.restore(value.id, undefined)).value.name).toBe("copy@dev");
    await volumes.remove(parseLineName("copy@dev"), { askEngines: false }, signal);
    await volumes.remove(copy, { askEngines: false }, signal);
    await expect(trash.restore(value.id, undefined)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("--name NAME"),
    });
    const alone = await trash.restore(value.id, parseVolumeName("alone"));
    expect(alone.value).toMatchObject({ name: "alone", branch: null });
  });
});
