import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Background } from "./background.ts";
import { eventually, run } from "./command.ts";
import { LAYERS_POOL } from "./graph-machine.ts";
import { Machine } from "./machine.ts";
import { call, callPlugin, type HttpAnswer } from "./unix-http.ts";

/* The graph driver's calls as an engine makes them, on a real lagand: what is asked for, refused, repeated and broken off. */

let host: Machine;
const made = new Set<string>();

beforeAll(async () => {
  host = await Machine.create();
  await host.lagand.start({ config: LAYERS_POOL });
});
afterEach(async () => {
  for (const ID of [...made].reverse()) await ok("Remove", { ID });
  made.clear();
  expect(await mounted()).toEqual([]);
});
afterAll(() => host?.[Symbol.asyncDispose]());

const ask = (endpoint: string, body: object | string = {}) =>
  callPlugin(host.lagand.pluginSocketPath, `/GraphDriver.${endpoint}`, body);

/** A call that must succeed: its answer. */
async function ok(
  endpoint: string,
  body: object | string = {},
): Promise<Readonly<Record<string, unknown>>> {
  const { status, json, text } = await ask(endpoint, body);
  expect({ endpoint, status, text }).toMatchObject({ status: 200 });
  expect(json?.["Err"] ?? "").toBe("");
  return json ?? {};
}

/** A call that must be refused: why. */
async function refused(endpoint: string, body: object | string): Promise<string> {
  const { status, json, text } = await ask(endpoint, body);
  expect({ endpoint, status, text }).toMatchObject({ status: 500 });
  expect(json?.["Err"]).toMatch(/^Cannot /);
  return String(json?.["Err"]);
}

/** A new layer, removed after the test. */
async function layer(Parent = "", how: "Create" | "CreateReadWrite" = "Create"): Promise<string> {
  const ID = randomBytes(32).toString("hex");
  await ok(how, Parent === "" ? { ID } : { ID, Parent });
  made.add(ID);
  return ID;
}

/** Mount points of layers, inside. */
async function mounted(): Promise<readonly string[]> {
  const { stdout } = await host.run(["cat", "/proc/self/mountinfo"]);
  const points = stdout.split("\n").map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point.startsWith(host.path("run/graph")));
}

const get = async (ID: string) => String((await ok("Get", { ID }))["Dir"]);
const put = (ID: string) => ok("Put", { ID });

/** What `argv` prints inside. */
const inside = async (...argv: readonly string[]) => (await host.run(argv)).stdout.trim();

/** A tar of these files. */
async function tarOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const directory = host.path(randomBytes(4).toString("hex"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name, ".."), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  const archive = `${directory}.tar`;
  expect(await run(["tar", "-C", directory, "-cf", archive, "."])).toMatchObject({ code: 0 });
  return readFile(archive);
}

function apply(id: string, parent: string, body: Uint8Array): Promise<HttpAnswer> {
  const path = `/GraphDriver.ApplyDiff?id=${id}&parent=${parent}`;
  const { pluginSocketPath: socketPath } = host.lagand;
  const headers = { "transfer-encoding": "chunked" };
  return call({ socketPath, path, method: "POST", headers, body });
}

/** A layer with these files. */
async function filled(files: Readonly<Record<string, string>>, parent = ""): Promise<string> {
  const id = await layer(parent);
  const { status, body } = await apply(id, parent, await tarOf(files));
  expect({ status, body }).toMatchObject({ status: 200 });
  return id;
}

/** The stream of one layer's difference from another. */
function diffOf(pair: object): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const { pluginSocketPath: socketPath } = host.lagand;
  const options = { socketPath, path: "/GraphDriver.Diff", method: "POST", headers: { host: "" } };
  const sent = request({ ...options, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", reject);
    response.on("end", () => resolve(Buffer.concat(chunks)));
  });
  sent.on("error", reject);
  sent.end(JSON.stringify(pair));
  return promise;
}

/** A stream that breaks off after `bytes`. */
function applyHalf(id: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const { pluginSocketPath: socketPath } = host.lagand;
    const path = `/GraphDriver.ApplyDiff?id=${id}&parent=`;
    const sent = request({ socketPath, path, method: "POST", headers: { host: "" }, agent: false });
    sent.on("error", () => resolve());
    sent.on("close", () => resolve());
    sent.write(bytes, () => sent.destroy());
  });
}

describe("the plugin's socket", () => {
  it("speaks both protocols", async () => {
    const answer = await callPlugin(host.lagand.pluginSocketPath, "/Plugin.Activate", "");
    expect(answer.json).toEqual({ Implements: ["VolumeDriver", "GraphDriver"] });
  });
});

describe("a layer", () => {
  it("is there once it was made, and is gone once it was removed, which can be said twice", async () => {
    const ID = await layer();
    expect(await ok("Exists", { ID })).toMatchObject({ Exists: true });
    expect(await refused("Create", { ID })).toContain("it exists");
    expect((await ok("GetMetadata", { ID }))["Metadata"]).toMatchObject({ kind: "active" });
    await ok("Remove", { ID });
    await ok("Remove", { ID });
    expect(await ok("Exists", { ID })).toMatchObject({ Exists: false });
    expect(await refused("Get", { ID })).toContain(ID);
  });

  it("is mounted for as long as somebody uses it", async () => {
    const ID = await layer("", "CreateReadWrite");
    const path = await get(ID);
    expect(await get(ID)).toBe(path);
    await host.run(["sh", "-c", 'echo text >"$1"/file', "sh", path]);
    await put(ID);
    expect(await mounted()).toEqual([path]);
    await put(ID);
    expect(await mounted()).toEqual([]);
    // A Put without a Get, as after a crash.
    await put(ID);
    await put("never-made");
    expect(await get(ID)).toBe(path);
    expect(await inside("cat", `${path}/file`)).toBe("text");
    await host.lagand.crash();
    // The use from before the crash, and one more.
    await get(ID);
    await put(ID);
    expect(await mounted()).toEqual([path]);
    await put(ID);
    expect(await mounted()).toEqual([]);
    await get(ID);
    await get(ID);
    // The engine has crashed: of its uses only what is mounted counts.
    await ok("Init", { Home: "/var/lib/docker/lagan" });
    await put(ID);
    expect(await mounted()).toEqual([]);
  });

  it("is taken down by Remove and by Cleanup, however many use it", async () => {
    const [one, two] = [await layer(), await layer()];
    for (const ID of [one, one, two]) await get(ID);
    await ok("Remove", { ID: one });
    expect(await mounted()).toHaveLength(1);
    await ok("Cleanup");
    expect(await mounted()).toEqual([]);
  });

  it("is used by a hundred at once as by one after the other", async () => {
    const ID = await layer();
    const paths = await Promise.all(Array.from({ length: 100 }, () => get(ID)));
    expect(new Set(paths).size).toBe(1);
    expect(await mounted()).toEqual(paths.slice(0, 1));
    await Promise.all(Array.from({ length: 99 }, () => put(ID)));
    expect(await mounted()).toEqual(paths.slice(0, 1));
    await put(ID);
    expect(await mounted()).toEqual([]);
    const wild = Array.from({ length: 50 }, () => [get(ID), put(ID)]).flat();
    await Promise.all(wild);
    expect(await mounted()).toEqual([]);
  });

  it("never changes any more once another stands on it", async () => {
    const below = await layer("", "CreateReadWrite");
    const path = await get(below);
    await host.run(["sh", "-c", 'echo below >"$1"/file', "sh", path]);
    await put(below);
    const above = await layer(below, "CreateReadWrite");
    const again = await get(below);
    const outcome = await host.run(["sh", "-c", 'echo changed >"$1"/file', "sh", again]);
    expect(outcome.stderr).toContain("Read-only file system");
    await put(below);
    const own = await get(above);
    expect(await inside("cat", `${own}/file`)).toBe("below");
    await put(above);
  });

  it("is told apart from its parent by changes, size and stream, which makes it anew", async () => {
    const below = await filled({ kept: "kept", "gone/a": "a", "opaque/b": "b", changed: "before" });
    const above = await layer(below, "CreateReadWrite");
    const path = await get(above);
    const script =
      'cd "$1" && rm -r gone opaque && mkdir opaque && echo -n 12345 >opaque/new && echo -n after- >changed';
    expect(await host.run(["sh", "-c", script, "sh", path])).toMatchObject({ code: 0 });
    const pair = { ID: above, Parent: below };
    const { Changes } = await ok("Changes", pair);
    expect(Changes).toEqual(
      expect.arrayContaining([
        { Path: "/gone", Kind: 2 },
        { Path: "/changed", Kind: 0 },
        { Path: "/opaque/new", Kind: 1 },
        { Path: "/opaque/b", Kind: 2 },
      ]),
    );
    expect(await ok("DiffSize", pair)).toMatchObject({ Size: 11 });
    await put(above);
    const copy = await layer(below);
    const { status } = await apply(copy, below, await diffOf(pair));
    expect(status).toBe(200);
    const dir = await get(copy);
    const tree = await inside("sh", "-c", 'cd "$1" && find . | sort && cat changed', "sh", dir);
    expect(tree.split("\n")).toEqual([
      ...[".", "./changed", "./kept", "./opaque", "./opaque/new"],
      "after-",
    ]);
    await put(copy);
  });
});

describe("a stream of a layer", () => {
  it("whose reader goes away leaves nothing mounted", async () => {
    const below = await layer();
    const above = await filled({ large: "x".repeat(20_000_000) }, below);
    const { pluginSocketPath: socketPath } = host.lagand;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const path = "/GraphDriver.Diff";
    const sent = request(
      { socketPath, path, method: "POST", headers: { host: "" }, agent: false },
      (response) => {
        response.once("data", () => {
          response.destroy();
          resolve();
        });
      },
    );
    sent.on("error", reject);
    sent.end(JSON.stringify({ ID: above, Parent: below }));
    await promise;
    await eventually("nothing is mounted", async () => (await mounted()).length === 0);
  });

  it("is refused as a whole before its first byte, or not at all", async () => {
    const [one, two] = [await layer(), randomBytes(8).toString("hex")];
    expect(await refused("Diff", { ID: one, Parent: two })).toContain(two);
    expect(await mounted()).toEqual([]);
  });

  it("cannot be taken down while a process has it open, and can be after", async () => {
    const ID = await layer();
    const path = await get(ID);
    const holder = new Background(
      host.namespace.enter(["sh", "-c", 'cd "$1" && echo held && exec sleep 1000', "sh", path]),
      { env: host.namespace.env, logFile: host.path("holder.log") },
    );
    try {
      await eventually("it is held", () => holder.log().includes("held"));
      expect(await refused("Remove", { ID })).toMatch(/busy|in use/i);
      expect(await refused("Put", { ID })).toMatch(/busy|in use/i);
    } finally {
      await holder.end("SIGKILL");
    }
    await get(ID);
    await put(ID);
    expect(await mounted()).toEqual([]);
  });
});

describe("a stream into a layer", () => {
  it("makes equal layers one, by whomever they are sent", async () => {
    // A tar may be padded far beyond its end, and all of it counts.
    const padding = Buffer.alloc(1024 ** 2);
    const tar = Buffer.concat([await tarOf({ file: "one and the same" }), padding]);
    const ids = [await layer(), await layer()];
    for (const id of ids) expect((await apply(id, "", tar)).status).toBe(200);
    const facts = await Promise.all(ids.map((ID) => ok("GetMetadata", { ID })));
    const [one, two] = facts.map(({ Metadata }) => Metadata as Record<string, string>);
    expect(one?.["layer"]).toBe(two?.["layer"]);
    expect(one?.["chainId"]).toBe(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
    // Of the two, one goes, and the other is as it was.
    await ok("Remove", { ID: ids[0] });
    expect(await inside("cat", `${await get(ids[1] ?? "")}/file`)).toBe("one and the same");
    await put(ids[1] ?? "");
  });

  it("that is broken off leaves no layer, and its rest is refused", async () => {
    const tar = await tarOf({ large: "x".repeat(3_000_000) });
    const id = await layer();
    await applyHalf(id, tar.subarray(0, 1_000_000));
    const rest = await apply(id, "", tar.subarray(1_000_000));
    expect(rest.status).toBe(500);
    expect(rest.body).toContain("Cannot fill layer");
    // The whole of it neither: what the first has left may be anything.
    expect((await apply(id, "", tar)).body).toContain("Cannot fill layer");
    const { Metadata } = await ok("GetMetadata", { ID: id });
    expect(Metadata).toMatchObject({ kind: "active" });
  });

  it("is refused when it is empty, no tar, or leads out of the layer", async () => {
    const empty = await ask(`ApplyDiff?id=${await layer()}&parent=`, "");
    expect(empty).toMatchObject({ status: 500 });
    expect(empty.text).toContain("empty");
    for (const bytes of [1_000, 100_000, 10_000_000]) {
      const noise = await apply(await layer(), "", randomBytes(bytes));
      expect(noise.status).toBe(500);
      expect(JSON.parse(noise.body)).toEqual({ Err: expect.stringContaining("no plain tar") });
    }
    const victim = host.path("victim");
    await mkdir(victim);
    const archive = host.path("escape.tar");
    await writeFile(host.path("payload"), "x");
    for (const name of ["../../../../victim/file", `${victim}/file`]) {
      const transform = ["--transform", `s|.*|${name}|`, "-C", host.path(), "payload"];
      expect(await run(["tar", "-P", "-cf", archive, ...transform])).toMatchObject({ code: 0 });
      await apply(await layer(), "", await readFile(archive));
    }
    expect(await readdir(victim)).toEqual([]);
  });

  it("goes into no layer that was used, or made before a crash", async () => {
    const tar = await tarOf({ file: "text" });
    const used = await layer();
    await get(used);
    await put(used);
    expect((await apply(used, "", tar)).body).toContain("Cannot fill layer");
    const older = await layer();
    await host.lagand.crash();
    expect((await apply(older, "", tar)).body).toContain("Cannot fill layer");
    const done = await filled({ file: "text" });
    expect((await apply(done, "", tar)).body).toContain("Cannot fill layer");
  });
});

describe("what is refused", () => {
  it.each<[string, string, object | string, string]>([
    ["user namespaces", "Init", { Home: "/h", UIDMaps: [{ container_id: 0 }] }, "--userns-remap"],
    ["group maps", "Init", { Home: "/h", GIDMaps: [{ container_id: 0 }] }, "--userns-remap"],
    ["options of the engine", "Init", { Home: "/h", Opts: ["lagan.x=1"] }, "--storage-opt"],
    ["an SELinux label", "Create", { ID: "a", MountLabel: "system_u:object_r:x" }, "SELinux"],
    ["an SELinux label at Get", "Get", { ID: "a", MountLabel: "system_u:object_r:x" }, "SELinux"],
    ["an unknown option", "CreateReadWrite", { ID: "a", StorageOpt: { inodes: "5" } }, '"inodes"'],
    ["a size that is none", "Create", { ID: "a", StorageOpt: { size: "much" } }, "as a size"],
    ["a size where there are no limits", "Create", { ID: "a", StorageOpt: { size: "5G" } }, "a"],
    ["a parent that is not there", "Create", { ID: "a", Parent: "absent" }, "absent"],
    ["itself as a parent", "Create", { ID: "a", Parent: "a" }, "its own parent"],
    ["no id", "Create", {}, "ID"],
    ["an id that leads elsewhere", "Create", { ID: "../../etc" }, "as the id of a layer"],
    ["an id of dots", "Get", { ID: ".." }, "as the id of a layer"],
    ["an id that is a path", "Remove", { ID: "a/b" }, "as the id of a layer"],
    ["an id with a line's end", "Put", { ID: "a\n" }, "as the id of a layer"],
    ["a long id", "Put", { ID: "a".repeat(201) }, "as the id of a layer"],
    ["an empty body", "Remove", "", "empty"],
    ["half a body", "Create", '{"ID":"a', "is not JSON"],
    ["an id twice", "Create", '{"ID":"a","ID":"b"}', "twice"],
    ["the difference of what is not there", "Diff", { ID: "absent" }, "absent"],
    ["the changes of what is not there", "Changes", { ID: "absent" }, "absent"],
  ])("%s", async (_, endpoint, body, says) => {
    expect(await refused(endpoint, body)).toContain(says);
    expect(await ok("Exists", { ID: "a" })).toMatchObject({ Exists: false });
  });

  it("nothing is left of it, and the daemon goes on", async () => {
    expect(host.lagand.running).toBe(true);
    expect(await ok("Status")).toMatchObject({ Status: expect.any(Array) });
  });
});
