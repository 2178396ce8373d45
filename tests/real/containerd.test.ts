import { execFile } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Snapshots } from "../conformance/snapshots-client.ts";
import { Background } from "./background.ts";
import { eventually } from "./command.ts";
import { Containerd, writeImage } from "./containerd.ts";
import { busyboxRoot } from "./images.ts";
import { Machine } from "./machine.ts";
import { poolHealth } from "./rest-caller.ts";

/* A real containerd with our door as its snapshotter: what ctr does by hand, BuildKit and Kubernetes do by the same calls. */

const run = promisify(execFile);
const IMAGE = "lagan.test/app:1";
const LAYERS = 4;

const POOLS: Readonly<Record<string, string>> = {
  overlay: "driver: overlay",
  btrfs: "driver: btrfs, size: 2G",
  directory: "driver: directory",
  zfs: "driver: zfs, size: 2G",
};

describe.each(Object.keys(POOLS))("containerd on %s", (driver) => {
  let machine: Machine;
  let containerd: Containerd;
  let door: Snapshots;
  let archive: string;

  const importImage = () => containerd.must("images", "import", "--snapshotter", "lagan", archive);
  const container = (command: string) => containerd.container(IMAGE, command);
  // Its collector works when it gets to it, or for a lease that ends so.
  const onlyImages = async () => {
    await containerd.must("leases", "create", "--id", "collect");
    await containerd.must("leases", "rm", "--sync", "collect");
    expect(await names()).toHaveLength(LAYERS);
  };
  const lagand = () => ({
    config: `pools:\n  default: { ${POOLS[driver]} }\nlayers: { pool: default }\n`,
    args: ["--state-dir", machine.path("disk/state")],
  });
  const names = async () => (await door.list()).map(({ name }) => name);

  beforeAll(async () => {
    machine = await Machine.create();
    archive = await writeImage(machine.path(), "app", await layersOf(machine.path("layers")));
    const disk = await machine.mountDisk("disk");
    if (driver === "zfs") startZfs(machine);
    await machine.lagand.start(lagand());
    containerd = new Containerd(machine, join(disk, "containerd"));
    await containerd.start();
    door = new Snapshots(machine.path("run/snapshots.sock"));
    if (driver === "zfs")
      await eventually("the pool is up", () => poolIsUp(machine), { timeoutMs: 50_000 });
  });
  afterAll(async () => {
    door.close();
    await containerd.stop();
    await machine[Symbol.asyncDispose]();
  });

  it("is among containerd's snapshotters", async () => {
    expect(await containerd.must("plugins", "ls")).toMatch(/snapshotter\S*\s+lagan\s.*ok/);
  });

  it("is in the configuration that lagan install writes, as containerd reads it", async () => {
    const own = machine.path("own.toml");
    await writeFile(own, '# mine\nversion = 2\n[debug]\n  level = "warn"\n');
    const address = machine.path("run/snapshots.sock");
    const install = (path: string) =>
      machine.mustLagan("install", "containerd", "--force", "--config", path, "--address", address);
    expect(await install(own)).toContain("+[proxy_plugins.lagan]");
    const read = await machine.must("containerd", "-c", own, "config", "dump");
    const [, section] = read.split("[proxy_plugins.lagan]");
    expect(section).toMatch(/^\s+(address = .*\s+)?type = "snapshot"/);
    expect(section).toContain(`address = "${address}"`);
    expect(read).toContain('level = "warn"');
    for (const path of [own, containerd.configPath]) {
      expect(await install(path)).toContain("has lagan already");
    }
  });

  it("unpacks an image and runs it: what upper layers replaced and took away is so", async () => {
    await importImage();
    expect(await names()).toHaveLength(LAYERS);
    expect(await container("cat /etc/layer /data/0/kept; ls /data /data/1")).toBe(
      "3\nkept 0\n/data:\n0\n1\n2\n3\n\n/data/1:\nkept",
    );
    expect(await container("stat -c '%a %u:%g' /data/2/kept")).toBe("4751 12:34");
    await onlyImages();
  });

  it("containers write beside each other, and their room is given back", async () => {
    const outputs = await Promise.all(
      [1, 2, 3, 4].map((n) =>
        container(`rm -r /data/0; echo ${n} >/data/own; sync; cat /data/own; ls /data | wc -l`),
      ),
    );
    expect(outputs).toEqual([1, 2, 3, 4].map((n) => `${n}\n4`));
    expect(await container("cat /data/0/kept")).toBe("kept 0");
    await onlyImages();
  });

  it("a container sees what containerd's own overlayfs would show, after any changes", async () => {
    await containerd.must("images", "import", "--snapshotter", "overlayfs", archive);
    for (const lines of fc.sample(changes(20), 3)) {
      const script = `${lines}\n${SHOW_TREE}`;
      const ours = await container(script);
      const theirs = await containerd.container(IMAGE, script, "overlayfs");
      expect(ours).toMatch(/^\. directory 755/);
      if (driver === "zfs") expect(withoutSetIds(ours), script).toBe(withoutSetIds(theirs));
      else expect(ours, script).toBe(theirs);
    }
  });

  it.runIf(driver === "overlay")("says its mounts as containerd's overlayfs does", async () => {
    // BuildKit looks into the directories that they name only where it knows every option; else it compares whole trees.
    const ask = async (snapshotter: string, ...args: readonly string[]) => {
      const ctr = ["snapshots", "--snapshotter", snapshotter, ...args];
      return (await containerd.must(...ctr)).replaceAll(/\/[^:,\s]+/g, "DIRECTORY");
    };
    await importImage();
    await containerd.must("images", "import", "--snapshotter", "overlayfs", archive);
    const rows = (await containerd.must("snapshots", "--snapshotter", "lagan", "ls")).split("\n");
    const chains = rows.slice(1).map((row) => row.split(/\s+/));
    for (const [chain = "", parent = ""] of chains) {
      for (const verb of ["view", "prepare"]) {
        const key = `${verb} of ${chain}`;
        const [ours, theirs] = await Promise.all(
          ["lagan", "overlayfs"].map((one) => ask(one, verb, "--mounts", key, chain)),
        );
        expect(ours, `${verb}, parent ${parent}`).toBe(theirs);
        // Its collector may have been there first: nothing refers to a view.
        for (const one of ["lagan", "overlayfs"]) {
          await containerd.ctr("snapshots", "--snapshotter", one, "rm", key);
        }
      }
    }
    expect(chains).toHaveLength(LAYERS);
    await onlyImages();
  });

  it("counts what a layer has of its own", async () => {
    const usage = await containerd.must("snapshots", "--snapshotter", "lagan", "usage");
    expect(usage.split("\n").slice(1)).toHaveLength(LAYERS);
  });

  it("a running container outlives lagand and containerd, killed one after the other", async () => {
    await containerd.must(
      ...["run", "-d", "--snapshotter", "lagan", "--cgroup", "", IMAGE, "long"],
      ...["sh", "-c", "echo here >/data/long; sleep 1000"],
    );
    const reads = () =>
      containerd.must("tasks", "exec", "--exec-id", "x", "long", "cat", "/data/long");
    await eventually("it has written", async () => (await reads().catch(() => "")) === "here");
    const before = await names();
    await machine.lagand.crash();
    if (driver === "zfs")
      await eventually("the pool is up", () => poolIsUp(machine), { timeoutMs: 50_000 });
    expect(await reads()).toBe("here");
    expect(await names()).toEqual(before);
    await containerd.crash();
    expect(await reads()).toBe("here");
    expect(await container("cat /etc/layer")).toBe("3");
    await containerd.must("tasks", "rm", "--force", "long");
    await containerd.must("containers", "rm", "long");
    await onlyImages();
  });

  it.runIf(driver === "overlay")(
    "calls wait while lagand is away, where its socket is held as systemd holds it",
    async () => {
      // containerd 1.6 gives a new connection one second, which a busy machine's lagand may not start in: this client gives more.
      await machine.lagand.stop();
      await machine.lagand.start({ ...lagand(), activated: true });
      const held = machine.lagand.hold("snapshots");
      const before = await names();
      for (const end of ["stop", "kill"] as const) {
        await machine.lagand[end]();
        const client = new Snapshots(held.path);
        const listed = client.list();
        await eventually("the client waits", () => held.waitedFor);
        await machine.lagand.start();
        expect((await listed).map(({ name }) => name)).toEqual(before);
        client.close();
      }
      await eventually("containerd is connected again", async () => {
        const answer = await containerd.ctr("snapshots", "--snapshotter", "lagan", "ls");
        return answer.code === 0;
      });
      expect(await container("cat /etc/layer")).toBe("3");
    },
  );

  it("an image that is removed at once leaves nothing, in the list, nor later in the pool", async () => {
    await containerd.must("images", "rm", "--sync", IMAGE);
    expect(await names()).toEqual([]);
    await importImage();
    expect(await container("cat /etc/layer")).toBe("3");
    await containerd.must("images", "rm", "--sync", IMAGE);
    await eventually("the pool is empty", async () => (await layersIn(machine, driver)) === 0, {
      timeoutMs: 60_000,
    });
  });
});

/** All below /data: names, kinds, modes, owners, links, and content. */
const SHOW_TREE = `cd /data; find . | sort | while read -r f; do
  stat -c '%n %F %a %u:%g' "$f"; [ -L "$f" ] && readlink "$f"; [ -f "$f" ] && [ ! -L "$f" ] && md5sum <"$f"
done; true`;

/** zfs-fuse takes those bits away when a file is written to, and when a directory gets another owner. */
function withoutSetIds(tree: string): string {
  return tree.replace(/ [2-7](\d{3}) /g, " $1 ").replace(/ 1(\d{3}) /g, " $1 ");
}

/** So many changes of what the image has below /data, one a line; some do nothing. */
function changes(count: number): fc.Arbitrary<string> {
  const digit = (end: number) => fc.integer({ min: 0, max: end });
  const path = fc
    .tuple(digit(4), fc.constantFrom("", "", "", "/kept", "/new", "/sub"))
    .map(([n, below]) => `/data/${n}${below}`);
  const change = fc.oneof(
    fc.tuple(digit(999), path).map(([n, to]) => `echo ${n} >>${to}`),
    path.map((at) => `rm -rf ${at}`),
    path.map((at) => `mkdir -p ${at}`),
    fc.tuple(path, path).map(([from, to]) => `rm -rf ${to}.x; mv ${from} ${to}.x`),
    fc
      .tuple(digit(7), digit(7), path)
      .map(([special, group, at]) => `chmod 0${special}7${group}5 ${at}`),
    fc.tuple(digit(8), digit(8), path).map(([uid, gid, at]) => `chown ${uid}:${gid} ${at}`),
    fc.tuple(digit(8), path).map(([to, at]) => `ln -s ../${to} ${at}`),
    fc.tuple(path, path).map(([from, to]) => `cp -a ${from} ${to}`),
  );
  const all = fc.array(change, { minLength: count, maxLength: count });
  return all.map((lines) => lines.map((line) => `(${line}) 2>/dev/null`).join("\n"));
}

async function layersOf(directory: string): Promise<readonly string[]> {
  const layers: string[] = [];
  for (let n = 0; n < LAYERS; n++) {
    const root = join(directory, String(n));
    if (n === 0) await busyboxRoot(root);
    await mkdir(join(root, "etc"), { recursive: true });
    await writeFile(join(root, "etc/layer"), `${n}\n`);
    const data = join(root, `data/${n}`);
    await mkdir(data, { recursive: true });
    await writeFile(join(data, "kept"), `kept ${n}\n`);
    await writeFile(join(data, "dropped"), "dropped\n");
    await run("chown", ["12:34", join(data, "kept")]);
    await chmod(join(data, "kept"), 0o4751);
    if (n > 0) {
      await mkdir(join(root, `data/${n - 1}`), { recursive: true });
      await writeFile(join(root, `data/${n - 1}/.wh.dropped`), "");
    }
    layers.push(root);
  }
  return layers;
}

/** Directories that the pool has for layers; of ZFS its datasets below the pool's. */
async function layersIn(machine: Machine, driver: string): Promise<number> {
  const pool = machine.path("disk/state/pools/default");
  if (driver === "zfs") {
    const list = await machine.must("zfs", "list", "-H", "-o", "lagan:layer");
    return list.split("\n").filter((line) => line.startsWith("{")).length;
  }
  const root = driver === "btrfs" ? `${pool}/mnt` : pool;
  const found = await machine.must("find", root, "-path", "*/layers/*", "-maxdepth", "2");
  return found === "" ? 0 : found.split("\n").length;
}

function startZfs({ namespace }: Machine): Background {
  const script =
    "mkdir -p /var/run/zfs /var/lock/zfs /var/lib/zfs; exec zfs-fuse --no-daemon --no-kstat-mount --enable-xattr";
  return new Background(namespace.enter(["sh", "-c", script]), {
    ...{ env: namespace.env, logFile: namespace.path("zfs-fuse.log") },
  });
}

async function poolIsUp({ lagand }: Machine): Promise<boolean> {
  return (await poolHealth(lagand, "default")).startsWith("ok");
}
