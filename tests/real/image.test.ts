import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { WireImage } from "../../src/api/rest/client.ts";
import { eventually } from "./command.ts";
import { BTRFS_POOL, DIRECTORY_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { type HandImage, handImage, layoutTar, writeLayout } from "./oci-layout.ts";
import { LOGIN, Nuisance, Registry } from "./registry.ts";
import { callPlugin } from "./unix-http.ts";

/* Images at a terminal: brought from files and a registry, shared by their layers, and what volumes start from. */

const TEST_MS = 120_000;
const LAGAN = join(import.meta.dirname, "../../src/bin/lagan.ts");
const base = {
  packing: "gzip",
  entries: [
    { name: "srv/", type: "5" },
    { name: "srv/app/", type: "5", uid: 7, gid: 8, mode: 0o2750 },
    { name: "srv/app/file", content: "hello", uid: 9, gid: 10, mode: 0o640 },
    { name: "srv/app/old", content: "from below" },
    { name: "srv/link", type: "2", link: "app" },
    { name: "big", content: randomBytes(300_000) },
  ],
} as const;
const more = {
  packing: "zstd",
  entries: [
    { name: "srv/app/.wh.old", content: "" },
    { name: "srv/app/new", content: "from above" },
  ],
} as const;
const app = handImage([base, more], "docker.io/library/app:1");
const other = handImage(
  [base, { packing: "plain", entries: [{ name: "x", content: "x" }] }],
  "docker.io/library/other:1",
);

let machine: Machine;
let stop: AsyncDisposableStack;
beforeEach(async () => {
  stop = new AsyncDisposableStack();
  machine = stop.use(await Machine.create());
}, TEST_MS);
afterEach(() => stop.disposeAsync(), TEST_MS);

async function importFile(name: string, image: HandImage, ...options: string[]): Promise<string> {
  const path = machine.path(`${name}.tar`);
  await writeFile(path, layoutTar(image));
  return machine.mustLagan("image", "import", path, ...options);
}

async function inspect(name: string): Promise<WireImage> {
  return (JSON.parse(await machine.mustLagan("image", "inspect", name, "--json")) as never)[0];
}

/** Layers in the pool, as it lies on the disk. */
async function layerCount(pool: string): Promise<number> {
  const { stdout } = await machine.run(["sh", "-c", `ls ${machine.path("state/pools", pool)}`]);
  expect(stdout).toContain("layers");
  return Number(
    (await machine.run(["sh", "-c", `ls ${machine.path("state/pools", pool, "layers")} | wc -l`]))
      .stdout,
  );
}

async function expectNothing(): Promise<void> {
  expect(await machine.lagand.get("/v1/images")).toMatchObject({ items: [] });
  // One that a daemon has left mounted stays until it is taken down: the next try is half a minute later.
  const gone = async () => (await layerCount("layers")) === 0;
  await eventually("every layer is gone", gone, { timeoutMs: 70_000 });
  expect(await readdir(machine.path("state/images")).catch(() => [])).toEqual([]);
}

it(
  "images that come twice, or have layers in common, have these once; what nobody has any more goes",
  async () => {
    await machine.lagand.start({ config: DIRECTORY_POOL });
    expect(await importFile("app", app)).toBe("app:1");
    const layers = await layerCount("layers");
    await writeLayout(app, machine.path("layout"));
    await machine.mustLagan("image", "import", machine.path("layout"), "--tag", "again:2");
    expect(await layerCount("layers")).toBe(layers);
    await importFile("other", other);
    expect(await layerCount("layers")).toBe(layers + 1);
    const shown = await inspect("app:1");
    expect(shown).toMatchObject({
      id: app.id,
      names: ["again:2", "app:1"],
      manifest: app.manifest,
    });
    expect(shown.layers.map(({ sharedWith }) => sharedWith)).toEqual([["other:1"], []]);
    expect(shown.ownBytes).toBe(10);

    await machine.mustLagan("image", "rm", "app:1");
    expect((await inspect("again:2")).names).toEqual(["again:2"]);
    await machine.mustLagan("image", "rm", app.id.slice(7, 19));
    await eventually("its own layer is gone", async () =>
      (await layerCount("layers")) === layers ? true : undefined,
    );
    await machine.mustLagan("image", "prune", "--all", "--force");
    await expectNothing();
  },
  TEST_MS,
);

it.each([
  ["cloned", BTRFS_POOL],
  ["copied", DIRECTORY_POOL],
])(
  "a volume starts from an image's directory, with its content, owners and modes: %s",
  async (_, config) => {
    await machine.lagand.start({ config });
    await importFile("app", app);
    const options = ["--from-image", "app:1", "--path", "/srv/app"];
    await machine.mustLagan("volume", "create", "data", ...options);
    // The same again is success, also when the image is gone.
    await machine.mustLagan("image", "rm", "app:1");
    await machine.mustLagan("volume", "create", "data", ...options);
    const mounted = await callPlugin(machine.lagand.pluginSocketPath, "/VolumeDriver.Mount", {
      ...{ Name: "data", ID: "one" },
    });
    const root = String(mounted.json?.["Mountpoint"]);
    const script = 'cd "$1" && find . -printf "%p %y %U:%G %m\\n" | sort && cat file new';
    const { stdout } = await machine.run(["sh", "-c", script, "sh", root]);
    expect(stdout.split("\n").slice(0, 3)).toEqual([
      ". d 7:8 2750",
      "./file f 9:10 640",
      "./new f 0:0 644",
    ]);
    expect(stdout).toContain("hellofrom above");
    // It is its own: written, kept by a snapshot, and brought back.
    await machine.run(["sh", "-c", 'echo changed > "$1/file"', "sh", root]);
    await callPlugin(machine.lagand.pluginSocketPath, "/VolumeDriver.Unmount", {
      ...{ Name: "data", ID: "one" },
    });
    await machine.mustLagan("snapshot", "create", "data", "--name", "before");
    await machine.mustLagan("clone", "data@before", "copy");
    const tar = await machine.run([
      ...["sh", "-c", '"$@" | tar -xO ./file', "sh", process.execPath, LAGAN],
      ...["--host", machine.lagand.address, "export", "copy"],
    ]);
    expect(tar.stdout).toBe("changed\n");
  },
  TEST_MS,
);

it(
  "Docker's options say the same, and what cannot be is refused with the reason",
  async () => {
    await machine.lagand.start({ config: BTRFS_POOL });
    await importFile("app", app);
    const create = async (Name: string, Opts: Readonly<Record<string, string>>) => {
      const socket = machine.lagand.pluginSocketPath;
      return String(
        (await callPlugin(socket, "/VolumeDriver.Create", { Name, Opts })).json?.["Err"],
      );
    };
    expect(await create("a1", { "from-image": "app:1", "from-image-path": "/srv/app" })).toBe("");
    expect(await create("whole", { "from-image": "app" + ":1" })).toBe("");
    expect(await create("b1", { "from-image": "nope" })).toContain("it is not here");
    expect(await create("b1", { "from-image": "app:1", "from-image-path": "/nope" })).toContain(
      "it does not exist there",
    );
    expect(await create("b1", { "from-image": "app:1", "from-image-path": "/srv/link" })).toContain(
      "it is a symbolic link",
    );
    expect(await create("b1", { "from-image": "app:1", "from-image-path": "/big" })).toContain(
      "it is no directory",
    );
    expect(await create("b1", { "from-image": "app:1", mode: "700" })).toContain("mode");
    expect(await create("b1", { "from-image-path": "/srv" })).toContain("without from-image");
    expect((await inspect("app:1")).volumes).toEqual(["a1", "whole"]);
    // What nobody can see of the image goes, and the limit counts the directory alone.
    await eventually("the rest of the image is gone from the clone", async () => {
      const at = JSON.parse(await machine.mustLagan("volume", "inspect", "a1", "--json"));
      const found = await machine.run(["ls", `${at[0].path}/../..`]);
      return found.stdout === "srv\n" ? true : undefined;
    });
  },
  TEST_MS,
);

it(
  "what fails, is cancelled or killed in the middle leaves nothing",
  async () => {
    await machine.lagand.start({ config: DIRECTORY_POOL });
    const [layer] = [...app.files].filter(([, bytes]) => bytes.length > 100_000);
    const wrong = Buffer.from(layer?.[1] ?? "");
    wrong[wrong.length - 9] = (wrong[wrong.length - 9] ?? 0) ^ 1;
    await writeFile(machine.path("bad.tar"), layoutTar(app, { [layer?.[0] ?? ""]: wrong }));
    const { code } = await machine.lagan("image", "import", machine.path("bad.tar"));
    expect([13, 25]).toContain(code);
    // Behind the end mark, where no tar program looks: only the digest tells.
    const [plain] = [...other.files].filter(([, bytes]) => bytes === other.tars[1]);
    const behind = Buffer.concat([plain?.[1] ?? Buffer.alloc(0), Buffer.alloc(1024)]);
    await writeFile(machine.path("behind.tar"), layoutTar(other, { [plain?.[0] ?? ""]: behind }));
    const refused = await machine.lagan("image", "import", machine.path("behind.tar"));
    expect(refused).toMatchObject({ code: 25 });
    await importFile("seen", other);
    await machine.mustLagan("image", "rm", "other:1");
    await expectNothing();

    const registry = stop.use(await Registry.start(machine.path("registry")));
    await writeLayout(app, machine.path("layout"));
    await registry.push(machine.path("layout"), "app:1");
    const upper = [...app.files.keys()].at(1)?.slice("blobs/sha256/".length) ?? "";
    // The upper layer never comes.
    const door = stop.use(
      await Nuisance.start(registry.host, ({ url = "" }) => url.endsWith(upperBlob)),
    );
    expect(upper).not.toBe("");
    for (const end of ["cancel", "kill"]) {
      const pulling = machine.lagan("image", "import", `${door.host}/app:1`);
      const id = await eventually("the lower layer is here", async () => {
        const { items } = (await machine.lagand.get("/v1/operations")) as {
          items: readonly { id: string; verb: string; state: string }[];
        };
        const running = items.find(
          ({ verb, state }) => verb === "image.import" && state === "running",
        );
        return running !== undefined && (await layerCount("layers")) >= 2 ? running.id : undefined;
      });
      if (end === "cancel") await machine.mustLagan("operation", "cancel", id);
      else await machine.lagand.crash();
      expect((await pulling).code).not.toBe(0);
      await expectNothing();
      expect(await machine.lagand.get(`/v1/operations/${id}`)).toMatchObject({ state: "failed" });
    }
  },
  TEST_MS,
);
const upperBlob =
  [...app.files.entries()]
    .find(([, bytes]) => bytes.length < 300 && bytes[0] === 0x28)?.[0]
    .slice(-64) ?? "none";

it(
  "a registry's image comes with the login of docker login, or of its helper",
  async () => {
    await machine.lagand.start({ config: DIRECTORY_POOL });
    const directory = machine.path("registry");
    const registry = stop.use(await Registry.start(directory, { login: true }));
    await writeLayout(app, machine.path("layout"));
    await registry.push(machine.path("layout"), "team/app:1", true);
    const name = `${registry.host}/team/app:1`;
    const refused = await machine.lagan("image", "import", name);
    expect(refused).toMatchObject({ code: 26 });
    expect(refused.stderr).toContain(`docker login ${registry.host}`);

    const config = machine.path("docker-config");
    await mkdir(config);
    const auth = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64");
    const helper = machine.path("docker-credential-test");
    const answer = JSON.stringify({ Username: LOGIN.username, Secret: LOGIN.password });
    await writeFile(
      helper,
      `#!/bin/sh\nread server\n[ "$server" = ${registry.host} ] && echo '${answer}'\n`,
    );
    await chmod(helper, 0o755);
    for (const login of [
      { auths: { [registry.host]: { auth } } },
      { credHelpers: { [registry.host]: "test" } },
    ]) {
      await writeFile(`${config}/config.json`, JSON.stringify(login));
      const pulled = await machine.run([
        ...["env", `DOCKER_CONFIG=${config}`, `PATH=${machine.path()}:${process.env["PATH"]}`],
        ...[process.execPath, LAGAN, "--host", machine.lagand.address],
        ...["image", "import", name],
      ]);
      expect(pulled).toMatchObject({ code: 0, stdout: `${name}\n` });
      await machine.mustLagan("image", "rm", name);
    }
    expect(machine.lagand.log()).not.toContain(LOGIN.password);
  },
  TEST_MS,
);

it(
  "a snapshot becomes an image, the same byte by byte, which docker load, skopeo and we ourselves take",
  async () => {
    await Promise.all([machine.lagand.start({ config: BTRFS_POOL }), machine.engine.start()]);
    await importFile("app", app);
    await machine.mustLagan("volume", "create", "data", "--from-image", "app:1", "--path", "/srv");
    await machine.mustLagan("snapshot", "create", "data", "--name", "first");
    const [one, two] = [machine.path("one.tar"), machine.path("two.tar")];
    for (const file of [one, two]) {
      await machine.mustLagan("image", "commit", "data@first", "--tag", "seed:1", "-o", file);
    }
    expect((await machine.run(["cmp", one, two])).code).toBe(0);
    expect(await machine.mustDocker("load", "-i", one)).toContain("seed:1");
    const id = await machine.mustDocker("image", "inspect", "--format", "{{.Id}}", "seed:1");
    const inspected = await machine.run(["skopeo", "inspect", "--config", `oci-archive:${one}`]);
    expect(inspected.code).toBe(0);
    expect(await machine.mustLagan("image", "commit", "data@first", "--tag", "seed:1")).toBe(
      "seed:1",
    );
    expect((await inspect("seed:1")).id).toBe(id);
    await machine.mustLagan("volume", "create", "again", "--from-image", "seed:1");
    const tree = await machine.mustLagan("layer", "tree");
    expect(tree).toMatch(/image seed:1\n└ \S+ +active +default .*volume again/);
    expect(tree).toMatch(/ {2}└ .*snapshot data@first\n {4}└ .*volume data/);
  },
  TEST_MS,
);
