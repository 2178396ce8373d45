import { beforeEach, describe, expect, it } from "vitest";
import { parsePoolName, parseProfileName, parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Node } from "../../src/services/node.ts";
import { engineThat } from "../../src/sim/engine.ts";
import { World } from "./world.ts";

const data = parseVolumeName("data");
const other = parseVolumeName("other");
const none = parseVolumeOptions({});
const quietly = { askEngines: false };

let world: World;
let node: Node;
const signal = new AbortController().signal;

beforeEach(async () => {
  world = new World();
  node = await world.boot();
});

async function pathOf(name = data): Promise<string> {
  const { value } = await node.services.volumes.get(name);
  return node.services.mounts.mount(value, "id", signal);
}

describe("creating", () => {
  it("gives an empty directory of the owner and mode asked for", async () => {
    const options = parseVolumeOptions({ uid: "7", gid: "8", mode: "2770" });
    await node.services.volumes.create(data, options, signal);
    const { files } = world.machine.start();
    const path = await pathOf();
    expect(await files.list(path)).toEqual([]);
    expect(await files.stat(path)).toMatchObject({ uid: 7, gid: 8, mode: 0o2770 });
  });

  it("again with the same options answers the same volume", async () => {
    const options = parseVolumeOptions({ size: "10M", "label.a": "1" });
    const first = await node.services.volumes.create(data, options, signal);
    const again = await node.services.volumes.create(
      data,
      parseVolumeOptions({ size: "10M" }),
      signal,
    );
    expect(again.value).toEqual(first.value);
  });

  it("again with other options names every difference and changes nothing", async () => {
    await node.services.volumes.create(data, parseVolumeOptions({ size: "10M" }), signal);
    const options = parseVolumeOptions({ size: "20M", uid: "5" });
    await expect(node.services.volumes.create(data, options, signal)).rejects.toMatchObject({
      code: "already_exists",
      message: expect.stringMatching(
        /size: it has 10 MiB .*asked was 20 MiB.*uid: it has 0, asked was 5/,
      ),
    });
    expect((await node.services.volumes.list()).length).toBe(1);
  });

  it("fills in from a profile, the request winning", async () => {
    const profile = parseVolumeOptions({
      size: "10M",
      mode: "0700",
      "label.kind": "db",
      "label.x": "p",
    });
    world.settings = { ...world.settings, profiles: new Map([[parseProfileName("db"), profile]]) };
    node = await world.boot();
    const asked = parseVolumeOptions({ profile: "db", size: "20M", "label.x": "r" });
    const { value } = await node.services.volumes.create(data, asked, signal);
    expect(value.spec).toMatchObject({ sizeBytes: 20 * 1024 ** 2, mode: 0o700, profile: "db" });
    expect(value.labels).toEqual({ kind: "db", x: "r" });
  });

  it("refuses an unknown profile or pool and says what there is", async () => {
    const { volumes } = node.services;
    await expect(
      volumes.create(data, parseVolumeOptions({ profile: "nope" }), signal),
    ).rejects.toMatchObject({ code: "not_found", message: expect.stringContaining("none") });
    await expect(
      volumes.create(data, parseVolumeOptions({ pool: "nope" }), signal),
    ).rejects.toMatchObject({ code: "not_found", message: expect.stringContaining("default") });
    expect(await volumes.list()).toEqual([]);
  });

  it("refuses a size where the pool cannot hold it, and names the pools that can", async () => {
    const plain = { name: parsePoolName("plain"), driver: "directory", options: {} };
    world.settings = { ...world.settings, pools: [...world.settings.pools, plain] };
    node = await world.boot();
    const options = parseVolumeOptions({ pool: "plain", size: "10M" });
    await expect(node.services.volumes.create(data, options, signal)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("use one that can: default"),
    });
    expect(await node.services.volumes.list()).toEqual([]);
  });

  it("by a thousand callers at once makes one volume", async () => {
    const calls = Array.from({ length: 1000 }, () =>
      node.services.volumes.create(data, none, signal),
    );
    const made = await Promise.all(calls);
    expect(new Set(made.map(({ value }) => value.id)).size).toBe(1);
    const { orphans, lost } = await node.reconcile.compare(signal);
    expect({ orphans, lost }).toEqual({ orphans: [], lost: [] });
  });

  it("that fails leaves neither layer nor name behind, and its operation says why", async () => {
    const first = world.build();
    await first.node.start(signal);
    for (let nth = first.calls() + 1; nth < first.calls() + 100; nth++) {
      const failing = world.build({ nth, when: "before", code: "resource_exhausted" });
      await failing.node.start(signal);
      const { volumes, operations, pools } = failing.node.services;
      const outcome = await volumes.create(data, none, signal).catch((thrown: unknown) => thrown);
      if (failing.hit() === undefined) return;
      if (failing.hit()?.startsWith("store.")) continue;
      expect(outcome, failing.hit()).toMatchObject({ code: "resource_exhausted" });
      expect(await volumes.list()).toEqual([]);
      expect(await pools.get(parsePoolName("default")).list(signal)).toEqual([]);
      const [last] = (await operations.list())
        .filter(({ verb }) => verb === "volume.create")
        .slice(-1);
      expect(last?.status, failing.hit()).toMatchObject({ state: "failed", why: "Injected" });
    }
    throw new Error("never ran to completion");
  });

  it("holds a writer to the limit, and its neighbor does not feel it", async () => {
    await node.services.volumes.create(data, parseVolumeOptions({ size: "10M" }), signal);
    await node.services.volumes.create(other, none, signal);
    const path = await pathOf();
    expect(() => world.machine.write(`${path}/big`, 11 * 1024 ** 2)).toThrow(
      expect.objectContaining({ code: "resource_exhausted" }),
    );
    world.machine.write(`${await pathOf(other)}/big`, 11 * 1024 ** 2);
  });
});

describe("removing", () => {
  it("puts the volume into the trash with its content, and restoring brings both back", async () => {
    const { volumes, trash } = node.services;
    await volumes.create(data, none, signal);
    world.machine.write(`${await pathOf()}/file`, "hello");
    const { value } = await volumes.get(data);
    await node.services.mounts.unmount(value, "id");
    await volumes.remove(data, quietly, signal);
    await expect(volumes.get(data)).rejects.toMatchObject({ code: "not_found" });
    expect((await trash.list()).map((entry) => entry.value.name)).toEqual(["data"]);
    await trash.restore("data", undefined);
    expect(world.machine.read(`${await pathOf()}/file`)).toBe("hello");
    expect(await trash.list()).toEqual([]);
  });

  it("frees the name at once, and restoring then asks for another", async () => {
    const { volumes, trash } = node.services;
    await volumes.create(data, none, signal);
    await volumes.remove(data, quietly, signal);
    await volumes.create(data, none, signal);
    await expect(trash.restore("data", undefined)).rejects.toMatchObject({
      code: "already_exists",
    });
    await trash.restore("data", other);
    expect((await volumes.list()).map(({ value }) => value.name)).toEqual(["data", "other"]);
  });

  it("is refused while a container has the volume mounted, and names the container", async () => {
    const { volumes, mounts } = node.services;
    await volumes.create(data, none, signal);
    const source = await pathOf();
    const container = world.machine.process({
      pid: 77,
      containerId: "ab".repeat(32),
      mounts: [{ source, target: "/data" }],
    });
    const { value } = await volumes.get(data);
    await mounts.unmount(value, "id");
    await expect(volumes.remove(data, quietly, signal)).rejects.toMatchObject({
      code: "failed_precondition",
      message: 'Cannot remove volume "data": it is in use by container abababababab; stop it first',
    });
    container.exit();
    await volumes.remove(data, quietly, signal);
  });

  it("is refused for a moment after a Mount that no process shows yet, and not for ever", async () => {
    const { volumes } = node.services;
    await volumes.create(data, none, signal);
    await pathOf();
    await expect(volumes.remove(data, quietly, signal)).rejects.toMatchObject({
      code: "failed_precondition",
    });
    await world.machine.clock.advance(61_000);
    await volumes.remove(data, quietly, signal);
  });

  it("of a protected volume is refused and says how to lift it", async () => {
    const { volumes } = node.services;
    await volumes.create(data, parseVolumeOptions({ protect: "true" }), signal);
    await expect(volumes.remove(data, quietly, signal)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("lagan volume set data --protect=false"),
    });
    await volumes.update(data, { protect: false }, signal);
    await volumes.remove(data, quietly, signal);
  });

  it("with a stopped container on it is refused when people ask, not when the engine does", async () => {
    world.engines.push(
      engineThat({
        address: "unix:///engine",
        listContainers: async () => [{ id: "cd".repeat(32), name: "web", running: false }],
        listVolumes: async () => [],
      }),
    );
    const { volumes } = node.services;
    await volumes.create(data, none, signal);
    await expect(volumes.remove(data, { askEngines: true }, signal)).rejects.toMatchObject({
      message: expect.stringContaining("container web (cdcdcdcdcdcd); it is stopped"),
    });
    await volumes.remove(data, quietly, signal);
  });

  it("ends in nothing once the trash has expired", async () => {
    const { volumes, trash } = node.services;
    await volumes.create(data, none, signal);
    await volumes.remove(data, quietly, signal);
    await trash.expire(signal);
    expect((await trash.list()).length).toBe(1);
    world.machine.clock.jump(86_400_001);
    await trash.expire(signal);
    expect(await trash.list()).toEqual([]);
    expect(await node.services.pools.get(parsePoolName("default")).list(signal)).toEqual([]);
  });

  it("with the trash turned off removes at once", async () => {
    world.settings = { ...world.settings, trashKeepMs: 0 };
    node = await world.boot();
    await node.services.volumes.create(data, none, signal);
    await node.services.volumes.remove(data, quietly, signal);
    expect(await node.services.trash.list()).toEqual([]);
    expect(await node.services.pools.get(parsePoolName("default")).list(signal)).toEqual([]);
  });
});

describe("changing", () => {
  it("renames, keeping the content; the old name is free", async () => {
    const { volumes } = node.services;
    await volumes.create(data, none, signal);
    await volumes.update(data, { name: other }, signal);
    expect((await volumes.list()).map(({ value }) => value.name)).toEqual(["other"]);
    await volumes.create(data, none, signal);
    await expect(volumes.update(data, { name: other }, signal)).rejects.toMatchObject({
      code: "already_exists",
    });
  });

  it("sets and takes away labels, and refuses an outdated revision", async () => {
    const { volumes } = node.services;
    const made = await volumes.create(data, parseVolumeOptions({ "label.a": "1" }), signal);
    const changed = await volumes.update(
      data,
      { labels: { a: null, b: "2" } },
      signal,
      made.revision,
    );
    expect(changed.value.labels).toEqual({ b: "2" });
    await expect(
      volumes.update(data, { protect: true }, signal, made.revision),
    ).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("a faulted pool", () => {
  it("neither hides its volumes nor holds up those of other pools", async () => {
    const { volumes, mounts } = node.services;
    const plain = { name: parsePoolName("plain"), driver: "directory", options: {} };
    world.settings = { ...world.settings, pools: [...world.settings.pools, plain] };
    await volumes.create(data, none, signal);
    world.reboot();
    world.machine.commands.delete("mkfs.btrfs");
    await world.machine.start().files.remove("/var/lib/lagan/pools/default/pool.img");
    node = await world.boot();
    const found = await node.services.volumes.get(data);
    expect(found.value.name).toBe("data");
    await expect(node.services.mounts.mount(found.value, "id", signal)).rejects.toMatchObject({
      code: "unavailable",
    });
    await node.services.volumes.create(other, parseVolumeOptions({ pool: "plain" }), signal);
    expect(mounts).toBeDefined();
  });
});

describe("a directory pool whose disk is not mounted", () => {
  it("is faulted and never made anew on the disk below", async () => {
    world = new World("directory");
    node = await world.boot();
    await node.services.volumes.create(data, none, signal);
    world.machine.crash();
    const { files } = world.machine.start();
    await files.rename("/var/lib/lagan/pools/default", "/var/lib/lagan/elsewhere");
    node = await world.boot();
    const { value } = await node.services.volumes.get(data);
    const gone = {
      code: "unavailable",
      message: expect.stringContaining("mount the disk that it was on"),
    };
    await expect(node.services.mounts.mount(value, "id", signal)).rejects.toMatchObject(gone);
    await expect(node.services.volumes.create(other, none, signal)).rejects.toMatchObject(gone);
    expect(await files.stat("/var/lib/lagan/pools/default")).toBeUndefined();
    await files.rename("/var/lib/lagan/elsewhere", "/var/lib/lagan/pools/default");
    await node.services.pools.refresh(signal);
    await node.services.mounts.mount(value, "id", signal);
  });
});

describe("a volume that has lost its content", () => {
  it("is not mounted, is told by the doctor, and can be removed for good", async () => {
    const { volumes, mounts, pools, trash, doctor } = node.services;
    const { value } = await volumes.create(data, none, signal);
    await pools.get(parsePoolName("default")).remove(value.head, signal);
    await expect(mounts.mount(value, "id", signal)).rejects.toMatchObject({ code: "data_loss" });
    expect(await doctor.examine(signal)).toContainEqual(
      expect.objectContaining({ level: "error", saw: expect.stringContaining('"data" has lost') }),
    );
    await volumes.remove(data, quietly, signal);
    await trash.purge(value.id, signal);
    expect(await trash.list()).toEqual([]);
    expect((await node.reconcile.compare(signal)).lost).toEqual([]);
  });
});

describe("a damaged record", () => {
  it("hides no other volume, keeps its own content, and is told by the doctor", async () => {
    const { volumes } = node.services;
    await volumes.create(data, none, signal);
    const { value } = await volumes.create(other, none, signal);
    world.machine.crash();
    world.damageRecord(`volumes/${value.id}`);
    node = await world.boot();
    const listed = await node.services.volumes.list();
    expect(listed.map((volume) => volume.value.name)).toEqual(["data"]);
    await expect(node.services.volumes.get(other)).rejects.toMatchObject({ code: "data_loss" });
    const findings = await node.services.doctor.examine(signal);
    expect(findings).toContainEqual(
      expect.objectContaining({ level: "error", saw: expect.stringContaining(value.id) }),
    );
    const layers = await node.services.pools.get(parsePoolName("default")).list(signal);
    expect(layers.map(({ id }) => id)).toContain(value.head);
  });
});

describe("shadows", () => {
  it("are told once, as a warning that names both and what to do", async () => {
    world.engines.push(
      engineThat({
        address: "unix:///engine",
        listContainers: async () => [],
        listVolumes: async () => [
          { name: "data", driver: "local" },
          { name: "mine", driver: "local" },
          { name: "other", driver: "lagan" },
        ],
      }),
    );
    const { volumes, events } = node.services;
    await volumes.create(data, none, signal);
    await volumes.create(other, none, signal);
    await node.shadows.report(signal);
    await node.shadows.report(signal);
    const told = events.since(0).filter(({ type }) => type === "volume.shadowed");
    expect(told).toMatchObject([{ subject: "data", level: "warning" }]);
  });
});

describe("housekeeping", () => {
  it("asks an engine for shadows only after the engine has called", async () => {
    let asked = 0;
    world.engines.push(
      engineThat({
        address: "unix:///engine",
        listContainers: async () => [],
        listVolumes: async () => {
          asked++;
          return [];
        },
      }),
    );
    await node.housekeeping.chores(signal);
    expect(asked).toBe(0);
    node.shadows.engineCalled();
    await node.housekeeping.chores(signal);
    await node.housekeeping.chores(signal);
    expect(asked).toBe(1);
  });
});

describe("announced mounts", () => {
  it("that no process has are forgotten after a while, those that one has are kept", async () => {
    const { volumes, mounts } = node.services;
    await volumes.create(data, none, signal);
    await volumes.create(other, none, signal);
    const source = await pathOf();
    await pathOf(other);
    world.machine.process({ pid: 78, mounts: [{ source, target: "/data" }] });
    await world.machine.clock.advance(61_000);
    const all = (await volumes.list()).map(({ value }) => value);
    await mounts.dropStaleHints(all, signal);
    const counts = await Promise.all(all.map(({ id }) => mounts.count(id)));
    expect(counts).toEqual([1, 0]);
  });

  it("of one ID twice need two to be taken back, and an unknown ID is success", async () => {
    const { volumes, mounts } = node.services;
    const { value } = await volumes.create(data, none, signal);
    await mounts.mount(value, "a", signal);
    await mounts.mount(value, "a", signal);
    await mounts.unmount(value, "a");
    expect(await mounts.count(value.id)).toBe(1);
    await mounts.unmount(value, "zzz");
    await mounts.unmount(value, "a");
    expect(await mounts.count(value.id)).toBe(0);
  });
});
