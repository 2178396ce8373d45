import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Background } from "./background.ts";
import { eventually, mustRun } from "./command.ts";
import { BTRFS_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { call, callPlugin } from "./unix-http.ts";

/*
 * What is in a volume belongs to whoever runs in a container: whatever is renamed, linked or mounted there while we count
 * and remove it, nothing outside is touched. The attackers are root with their feet in the volume's own directory.
 */

const KOFFI = createRequire(import.meta.url).resolve("koffi");
const ROUNDS = 4;

let host: Machine;
let attackers: Background[] = [];
let made = 0;

beforeAll(async () => {
  host = await Machine.create();
  const config = `${BTRFS_POOL.replace("default:", "limited:")}  default:\n    driver: directory\n`;
  await host.lagand.start({ config });
  await fill(host.path("canary"));
});

afterEach(async () => {
  for (const attacker of attackers) await attacker.end("SIGKILL");
  attackers = [];
});

afterAll(() => host?.[Symbol.asyncDispose]());

/** A tree with something of every kind that an attack could spoil. */
async function fill(directory: string): Promise<void> {
  await mkdir(join(directory, "swap/deep"), { recursive: true });
  for (let index = 0; index < 10; index++) {
    await writeFile(join(directory, `file-${index}`), `precious ${index}`, { mode: 0o640 });
    await writeFile(join(directory, `swap/deep/file-${index}`), `precious ${index}`);
  }
  await mustRun(["ln", "-s", "file-0", join(directory, "link")]);
  await mustRun(["chown", "-R", "1234:4321", directory]);
}

/** Everything about a tree that an attack could change, byte for byte, but times of reading. */
function fingerprint(directory: string): string {
  const hash = createHash("sha256");
  for (const path of [
    "",
    ...readdirSync(directory, { recursive: true, encoding: "utf8" }).sort(),
  ]) {
    const full = join(directory, path);
    const { mode, uid, gid, size, ino, nlink, mtimeMs, ctimeMs } = lstatSync(full);
    const kind = mode & 0o170000;
    const content =
      kind === 0o100000 ? readFileSync(full) : kind === 0o120000 ? readlinkSync(full) : "";
    hash.update(JSON.stringify([path, mode, uid, gid, size, ino, nlink, mtimeMs, ctimeMs]));
    hash.update(content);
  }
  return hash.digest("hex");
}

interface Victim {
  readonly name: string;
  /** Its content as the host and as lagand's namespace have it. */
  readonly outside: string;
  readonly inside: string;
}

async function plugin(endpoint: string, body: object): Promise<Readonly<Record<string, unknown>>> {
  const { status, json, text } = await callPlugin(
    host.lagand.pluginSocketPath,
    `/VolumeDriver.${endpoint}`,
    body,
  );
  expect({ endpoint, status, text }).toMatchObject({ status: 200 });
  return json ?? {};
}

async function makeVictim(pool: string): Promise<Victim> {
  const name = `victim-${made++}`;
  await plugin("Create", { Name: name, Opts: { pool } });
  const inside = String((await plugin("Path", { Name: name }))["Mountpoint"]);
  const outside = host.namespace.inside(inside);
  await fill(outside);
  return { name, inside, outside };
}

/** Runs `script` of Node in lagand's namespace with its feet in `directory` until the test ends. */
async function attack(
  directory: string,
  script: string,
  ...args: readonly string[]
): Promise<void> {
  const log = host.path(`attacker-${made++}.log`);
  const shell = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "attacker", directory];
  const argv = [...shell, process.execPath, "-e", PRELUDE + script, KOFFI, ...args];
  const attacker = new Background(host.namespace.enter(argv), {
    ...{ env: host.namespace.env, logFile: log },
  });
  attackers.push(attacker);
  await eventually("the attack has begun", () => {
    if (!attacker.running) throw new Error(attacker.log());
    return attacker.log().includes("begun");
  });
}

const PRELUDE = `
  const [koffi, ...args] = [require(process.argv[1]), ...process.argv.slice(2)];
  const libc = koffi.load("libc.so.6");
  const fs = require("node:fs");
  const begin = () => fs.writeSync(1, "begun\\n");
`;

/** A directory becomes a link to elsewhere and back, as fast as the kernel can; files are made where there is room. */
const SWAP = `
  const swap = libc.func("int renameat2(int, str, int, str, uint)");
  args.forEach((target, index) => fs.symlinkSync(target, "out-" + index));
  fs.symlinkSync(args[0], "layer.json");
  fs.symlinkSync(args[0], "_data");
  begin();
  for (;;) args.forEach((_, index) => swap(-100, "swap", -100, "out-" + index, 2));
`;

/** Something from elsewhere is mounted in it and taken away again, as fast as the kernel can. */
const MOUNT = `
  const mount = libc.func("int mount(str, str, str, ulong, str)");
  const unmount = libc.func("int umount2(str, int)");
  fs.mkdirSync("mounted", { recursive: true });
  begin();
  for (;;) {
    mount(args[0], "mounted", null, 4096, null);
    for (const end = performance.now() + 2; performance.now() < end; );
    unmount("mounted", 2);
    for (const end = performance.now() + 1; performance.now() < end; );
  }
`;

async function rest(method: string, path: string): Promise<{ status: number; body: string }> {
  const { status, body } = await call({ socketPath: host.lagand.socketPath, method, path });
  return { status, body };
}

/** Counts, mounts, removes and purges the victim: each call ends, as success or as a refusal that says why. */
async function handle({ name }: Victim): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const { status, body } = await rest("GET", `/v1/volumes/${name}/usage`);
    expect([200, 500], body).toContain(status);
    await plugin("Get", { Name: name });
  }
  const removed = await eventually("it is removed", async () => {
    const { status, body } = await rest("DELETE", `/v1/volumes/${name}`);
    if (status !== 200) expect(body).toContain("in use by");
    return status === 200 && (JSON.parse(body) as { id: string });
  });
  for (let round = 0; round < 5; round++) {
    const { status, body } = await rest("DELETE", `/v1/trash/${removed.id}`);
    if (status === 200 || status === 404) return;
    expect(JSON.parse(body).detail).toMatch(/^Cannot /);
  }
}

/** Waits until the trash is empty, once nobody attacks any more. */
async function emptied(): Promise<void> {
  for (const attacker of attackers) await attacker.end("SIGKILL");
  await unmountAll();
  await eventually("the trash can be emptied", async () => {
    await rest("DELETE", "/v1/trash");
    return ((await host.lagand.get("/v1/trash")) as { items: unknown[] }).items.length === 0;
  });
}

/** Takes away what a killed attacker has left mounted in a volume. */
async function unmountAll(): Promise<void> {
  const script =
    "sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\/mounted\\) .*/\\1/p' /proc/self/mountinfo | tac | xargs -r umount -l";
  expect(await host.run(["sh", "-c", script])).toMatchObject({ code: 0, stderr: "" });
}

/** Names of what the pool has of layers that are being made or removed. */
function leftovers({ outside }: Victim): readonly string[] {
  return readdirSync(join(outside, "../../../tmp"));
}

describe.each(["default", "limited"])("in pool %s nothing outside is touched", (pool) => {
  it("while directories of the volume become links to the host and to a neighbor, and back", async () => {
    const neighbor = await makeVictim(pool);
    const canaries = [host.path("canary"), neighbor.outside];
    const before = canaries.map(fingerprint);
    for (let round = 0; round < ROUNDS; round++) {
      const victim = await makeVictim(pool);
      await attack(victim.inside, SWAP, host.path("canary"), neighbor.inside);
      await handle(victim);
      await emptied();
      expect(canaries.map(fingerprint)).toEqual(before);
    }
    expect(readdirSync(host.namespace.inside(join(neighbor.inside, "../..")))).toHaveLength(1);
  });

  it("while parts of the host and of a neighbor are mounted in the volume, and taken away", async () => {
    const neighbor = await makeVictim(pool);
    const canaries = [host.path("canary"), neighbor.outside];
    const before = canaries.map(fingerprint);
    for (const target of [host.path("canary"), neighbor.inside]) {
      for (let round = 0; round < ROUNDS; round++) {
        const victim = await makeVictim(pool);
        await attack(victim.inside, MOUNT, target);
        await handle(victim);
        await emptied();
        expect(canaries.map(fingerprint)).toEqual(before);
      }
    }
  });

  it("by a mount that stays in a removed volume, which keeps that one only, also over a restart", async () => {
    const [neighbor, victim] = [await makeVictim(pool), await makeVictim(pool)];
    const before = fingerprint(host.path("canary"));
    const mount = 'mkdir "$2/mounted" && mount --bind "$1" "$2/mounted"';
    await host.run(["sh", "-c", mount, "mount", host.path("canary"), victim.inside]);
    await handle(victim);
    expect(leftovers(neighbor)).not.toEqual([]);
    await host.lagand.crash();
    await plugin("Mount", { Name: neighbor.name, ID: "x" });
    await plugin("Unmount", { Name: neighbor.name, ID: "x" });
    const { body } = await rest("GET", `/v1/pools/${pool}`);
    expect(JSON.parse(body).health).toEqual({
      state: "warning",
      why: expect.stringContaining("is a mount point; unmount it first"),
    });
    await unmountAll();
    await host.lagand.crash();
    expect(leftovers(neighbor)).toEqual([]);
    expect(fingerprint(host.path("canary"))).toBe(before);
  });

  it("by a container that gives its root away, shuts it, and tries to rename it", async () => {
    const victim = await makeVictim(pool);
    const before = fingerprint(host.path("canary"));
    const script =
      'mount --bind "$1" /mnt; cd /mnt; mv /mnt /mnt2; chown 4242:4242 .; chmod 0000 .; ln -s "$2" layer.json; mv . x; rmdir /mnt; true';
    await host.run([
      "unshare",
      "-m",
      "sh",
      "-c",
      script,
      "root",
      victim.inside,
      host.path("canary"),
    ]);
    const { mode, uid } = lstatSync(victim.outside);
    expect([mode & 0o7777, uid]).toEqual([0, 4242]);
    expect(String((await plugin("Mount", { Name: victim.name, ID: "x" }))["Mountpoint"])).toBe(
      victim.inside,
    );
    await plugin("Unmount", { Name: victim.name, ID: "x" });
    const { status, body } = await rest("GET", `/v1/volumes/${victim.name}/usage`);
    expect({ status, body }).toMatchObject({ status: 200 });
    await host.lagand.crash();
    expect(lstatSync(victim.outside).uid).toBe(4242);
    await handle(victim);
    await emptied();
    expect(fingerprint(host.path("canary"))).toBe(before);
  });
});
