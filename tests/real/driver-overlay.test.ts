import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import {
  chmod,
  chown,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { LayerCare, LayerMount, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { createOverlayDriver } from "../../src/drivers/overlay/driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { Faults } from "../conformance/faults.ts";
import { describeTree } from "../conformance/tree-description.ts";
import { Scratch } from "./driver-disk.ts";

const run = promisify(execFile);
const LIVE = new AbortController().signal;
const ports: DriverPorts = { files: hostFiles, kernel: hostKernel, exec: hostExec };
const XFS = ["mkfs.xfs", "-q", "-m", "reflink=1"] as const;
const EXT4 = ["mkfs.ext4", "-q"] as const;
const REFUSED = { code: "failed_precondition" };
const A = layer(1);

let scratch: Scratch;
let pool: string;

beforeEach(async () => {
  scratch = await Scratch.make();
});
afterEach(() => scratch.dispose());

function layer(number: number): LayerId {
  return parseId<LayerId>(`01920000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`);
}

async function opened(mkfs: readonly [string, ...string[]]): Promise<StorageDriver> {
  pool = join(await scratch.mount(await scratch.image("disk.img", mkfs)), "pool");
  return reopened();
}

async function reopened(): Promise<StorageDriver> {
  const driver = createOverlayDriver(pool, {}, ports);
  await driver.open(LIVE);
  return driver;
}

function prepare(
  driver: StorageDriver,
  id: LayerId,
  parent: LayerId | null = null,
  care: LayerCare = {},
) {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  return driver.prepare(id, { parent, sizeBytes: null, owner, ...care }, LIVE);
}

async function mountOf(driver: StorageDriver, id: LayerId, readOnly = false): Promise<LayerMount> {
  const [mount] = await driver.mounts(id, { readOnly }, LIVE);
  if (mount === undefined) throw new Error("a layer has a mount");
  return mount;
}

async function within<T>(
  driver: StorageDriver,
  id: LayerId,
  work: (root: string) => Promise<T>,
  readOnly = false,
): Promise<T> {
  return scratch.reach(await mountOf(driver, id, readOnly), work);
}

describe("deep chains", () => {
  it("of 200 layers mount and show the newest of each file; more than the kernel takes are refused", {
    timeout: 300_000,
  }, async () => {
    const driver = await opened(XFS);
    await prepare(driver, A);
    for (let depth = 1; depth <= 200; depth++) {
      // Written in the upper directory: to mount each of them would take long.
      await writeFile(await upperOf(depth), `${depth}`);
      await driver.snapshot(A, layer(1000 + depth), LIVE);
    }
    const mount = await mountOf(driver, A);
    expect(mount.options.join().length).toBeGreaterThan(4096);
    await scratch.reach(mount, async (root) => {
      expect((await readdir(root)).length).toBe(200);
      expect(await readFile(join(root, "file-1"), "utf8")).toBe("1");
      await writeFile(join(root, "file-1"), "new");
    });
    const read = await within(
      driver,
      layer(1200),
      async (root) => readFile(join(root, "file-1"), "utf8"),
      true,
    );
    expect(read).toBe("1");
    for (let depth = 201; depth <= 500; depth++) {
      await driver.snapshot(A, layer(1000 + depth), LIVE);
    }
    await expect(driver.snapshot(A, layer(1501), LIVE)).rejects.toMatchObject(REFUSED);
    await within(driver, A, async (root) =>
      expect(await readFile(join(root, "file-1"), "utf8")).toBe("new"),
    );
  });

  async function upperOf(depth: number): Promise<string> {
    const [text = ""] = await hostFiles.readNotes([`${pool}/layers/${A}/layer.json`]);
    const { content } = JSON.parse(text) as { readonly content: string };
    return `${pool}/l/${content}/d/file-${depth}`;
  }
});

describe("a sweep", () => {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  const how = { parent: null, sizeBytes: null, owner, kept: true };

  it("leaves what is mounted; what it removed stays removed after a power cut", async () => {
    const image = await scratch.image("swept.img", XFS);
    pool = join(await scratch.mount(image), "pool");
    const driver = await reopened();
    await driver.prepare(A, how, LIVE);
    await driver.prepare(layer(2), how, LIVE);
    await driver.prepare(layer(3), how, LIVE);
    await driver.commit(layer(3), layer(4), LIVE, { kept: true });
    await hostFiles.syncFileSystem(pool);
    const sweep = {};
    const all = [layer(2), A, layer(4)];
    await within(driver, A, async () => {
      await expect(driver.removeAll?.(all, sweep, AbortSignal.abort("enough"))).rejects.toBe(
        "enough",
      );
      expect(await driver.list(LIVE)).toHaveLength(3);
      expect(await driver.removeAll?.(all, sweep, LIVE)).toEqual([layer(2), layer(4)]);
      await expect(driver.remove(A, LIVE, { kept: true, sweep })).rejects.toMatchObject(REFUSED);
    });
    await driver.remove(layer(2), LIVE, { kept: true, sweep });
    expect(await readdir(`${pool}/l`)).toHaveLength(1);
    await driver.settleRemovals?.(LIVE);
    await scratch.cutPower([image]);
    pool = join(await scratch.mount(image), "pool");
    const after = await reopened();
    expect((await after.list(LIVE)).map(({ id }) => id)).toEqual([A]);
    await after.remove(A, LIVE, { kept: true, sweep: {} });
    expect(await after.list(LIVE)).toEqual([]);
  });
});

describe("a layer to which nothing was added", () => {
  const untouched = (driver: StorageDriver, id: LayerId) => driver.isUntouched?.(id, LIVE);

  it.each([
    ["watched since it was made", { kept: true }],
    ["looked at", {}],
  ])(
    "is known, also when it was mounted; and so is each change that a new one would not have: %s",
    async (_how, care) => {
      const driver = await opened(EXT4);
      await prepare(driver, A);
      await within(driver, A, async (root) => {
        await chown(root, 7, 8);
        await run("setfattr", ["-n", "user.color", "-v", "blue", root]);
        await utimes(root, 1, new Date("2001-02-03"));
      });
      await driver.commit(A, layer(2), LIVE);
      expect(await untouched(driver, layer(2))).toBe(false);
      const changes: readonly ((root: string) => Promise<unknown>)[] = [
        (root) => writeFile(join(root, "file"), ""),
        (root) => chmod(root, 0o700),
        (root) => chown(root, 7, 9),
        (root) => run("setfattr", ["-n", "user.color", "-v", "red", root]),
        (root) => run("setfattr", ["-n", "user.shape", "-v", "round", root]),
        (root) => run("setfattr", ["-x", "user.color", root]),
        (root) => run("setfacl", ["-m", "u:9:r", root]),
        (root) => utimes(root, 1, new Date("2001-02-04")),
        (root) => writeFile(join(root, "file"), "").then(() => rm(join(root, "file"))),
      ];
      for (const [index, change] of changes.entries()) {
        const id = layer(10 + index);
        await prepare(driver, id, layer(2), care);
        expect(await untouched(driver, id), `${change}`).toBe(true);
        expect(await driver.beginCommit?.(id, layer(100), LIVE)).toBe(true);
        if (index % 2 === 0) {
          await within(driver, id, (root) => readdir(root));
          expect(await untouched(driver, id), `${change}`).toBe(true);
        }
        await within(driver, id, change);
        expect(await untouched(driver, id), `${change}`).toBe(false);
        expect(await driver.beginCommit?.(id, layer(100), LIVE), `${change}`).toBe(false);
      }
    },
  );

  it("hides nothing by its root: what is marked so in its own directory is a change", async () => {
    const driver = await opened(EXT4);
    await prepare(driver, A);
    await driver.commit(A, layer(2), LIVE);
    await prepare(driver, layer(3), layer(2));
    const [mount] = await driver.mounts(layer(3), { readOnly: false }, LIVE);
    const upper = mount?.options.find((option) => option.startsWith("upperdir="))?.slice(9) ?? "";
    await run("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", upper]);
    expect(await untouched(driver, layer(3))).toBe(false);
  });
});

describe("a layer in use", () => {
  it("is neither snapshotted, committed nor removed, and the refusal says where it is mounted", async () => {
    const driver = await opened(EXT4);
    await prepare(driver, A);
    for (const round of [1, 2]) {
      await within(driver, A, async (root) => {
        const refused = { ...REFUSED, message: expect.stringContaining(root) };
        await expect(driver.snapshot(A, layer(9), LIVE)).rejects.toMatchObject(refused);
        await expect(driver.commit(A, layer(9), LIVE)).rejects.toMatchObject(refused);
        await expect(driver.remove(A, LIVE)).rejects.toMatchObject(refused);
      });
      await driver.snapshot(A, layer(round + 1), LIVE);
    }
  });

  it("has one overlay, however often it is mounted", async () => {
    const driver = await opened(EXT4);
    await prepare(driver, A);
    await driver.snapshot(A, layer(2), LIVE);
    await within(driver, A, async (root) => {
      const again = await mountOf(driver, A);
      expect(again).toEqual({ type: "bind", source: root, options: ["rw"] });
      await scratch.reach(again, (other) => writeFile(join(other, "file"), "seen"));
      expect(await readFile(join(root, "file"), "utf8")).toBe("seen");
      expect((await mountOf(driver, A, true)).options).toEqual(["ro"]);
    });
  });
});

describe("roots and contents", () => {
  it("a root keeps its attributes, lists and times from layer to layer", async () => {
    const driver = await opened(EXT4);
    await prepare(driver, A);
    const sample = await within(driver, A, async (root) => {
      await run("setfattr", ["-n", "user.of-root", "-v", "yes", root]);
      await run("setfacl", ["-m", "u:1234:rwx", "-d", "-m", "g:77:rx", root]);
      await run("touch", ["--date", "2001-01-01T01:01:01.123456789Z", root]);
      return describeTree(root);
    });
    await driver.snapshot(A, layer(2), LIVE);
    await driver.snapshot(A, layer(3), LIVE);
    expect(await within(driver, A, describeTree)).toEqual(sample);
    expect(await within(driver, layer(3), describeTree, true)).toEqual(sample);
  });

  it("no content is left that no layer has, whatever call of a snapshot goes wrong", {
    timeout: 120_000,
  }, async () => {
    let driver = await opened(EXT4);
    for (const mode of ["before", "after", "outage", "crash"] as const) {
      for (let nth = 1, fired = true; fired; nth++) {
        await prepare(driver, A);
        await within(driver, A, (root) => writeFile(join(root, "file"), "kept"));
        const faults = new Faults();
        const [files, kernel, exec] = [hostFiles, hostKernel, hostExec].map((port) =>
          faults.wrap(port),
        ) as [typeof hostFiles, typeof hostKernel, typeof hostExec];
        const sick = createOverlayDriver(pool, {}, { files, kernel, exec });
        await sick.open(LIVE);
        faults.arm(nth, mode);
        await sick.snapshot(A, layer(2), LIVE).catch(() => undefined);
        fired = faults.fired;
        faults.disarm();
        driver = mode === "outage" ? sick : await reopened();
        await driver.snapshot(A, layer(2), LIVE);
        const read = async (root: string): Promise<string> => readFile(join(root, "file"), "utf8");
        expect(await within(driver, layer(2), read, true)).toBe("kept");
        expect(await within(driver, A, read)).toBe("kept");
        driver = await reopened();
        expect((await readdir(`${pool}/l`)).length, `${mode} ${nth}`).toBe(2);
        await driver.remove(A, LIVE);
        await driver.remove(layer(2), LIVE);
        expect(await readdir(`${pool}/l`)).toEqual([]);
      }
    }
  });

  it("a pool in a directory that no overlay takes is refused, and says what to do", async () => {
    const below = await scratch.mount(await scratch.image("disk.img", EXT4));
    for (const name of ["lower", "upper", "work", "on"]) await mkdir(join(below, name));
    const dirs = ["lower", "upper", "work"].map((name) => `${name}dir=${join(below, name)}`);
    await hostKernel.mount({
      ...{ type: "overlay", source: "overlay", target: join(below, "on"), options: dirs },
    });
    const driver = createOverlayDriver(join(below, "on", "pool"), {}, ports);
    await expect(driver.open(LIVE)).rejects.toMatchObject({
      ...REFUSED,
      message: expect.stringMatching(/overlay.*use a directory on ext4/),
    });
    const comma = createOverlayDriver(join(below, "a,b"), {}, ports);
    await expect(comma.open(LIVE)).rejects.toMatchObject(REFUSED);
    expect(await readdir(join(below, "on", "pool"))).not.toContain("probe");
  });
});

describe("what a container sees", () => {
  it("is what it would see in a plain directory, through renames, removals, links and snapshots", {
    timeout: 300_000,
  }, async () => {
    const driver = await opened(XFS);
    const plain = join(scratch.path, "disk.img.mnt", "plain");
    await mkdir(plain);
    await prepare(driver, A);
    const log: string[] = [];
    for (let round = 1; round <= 12; round++) {
      await within(driver, A, async (root) => {
        for (let step = 0; step < 40; step++) {
          const change = randomChange();
          const outcomes = [await apply(change, root), await apply(change, plain)];
          log.push(`${round}: ${JSON.stringify(change)} ${outcomes.join(" ")}`);
          expect(outcomes[0], log.join("\n")).toBe(outcomes[1]);
        }
        expect(await shown(root), log.join("\n")).toEqual(await shown(plain));
      });
      await driver.snapshot(A, layer(100 + round), LIVE);
      const seen = await within(driver, layer(100 + round), shown, true);
      expect(seen, log.join("\n")).toEqual(await shown(plain));
    }
  });

  it("of a file with two names that it writes: from then on they are two files, now and in later layers", async () => {
    const driver = await opened(EXT4);
    await prepare(driver, A);
    await within(driver, A, async (root) => {
      await writeFile(join(root, "one"), "base");
      await link(join(root, "one"), join(root, "two"));
    });
    await driver.snapshot(A, layer(2), LIVE);
    const read = async (root: string) => [
      await readFile(join(root, "one"), "utf8"),
      await readFile(join(root, "two"), "utf8"),
    ];
    await within(driver, A, async (root) => {
      await writeFile(join(root, "one"), "new");
      expect(await read(root)).toEqual(["new", "base"]);
    });
    await driver.snapshot(A, layer(3), LIVE);
    expect(await within(driver, layer(3), read, true)).toEqual(["new", "base"]);
  });
});

const NAMES = ["a", "b", "c", "d"];

interface Change {
  readonly verb: "write" | "mkdir" | "remove" | "rename" | "symlink" | "chmod" | "device";
  readonly path: string;
  readonly other: string;
}

function randomChange(): Change {
  const verbs = [
    "write",
    "mkdir",
    "mkdir",
    "remove",
    "rename",
    "rename",
    "symlink",
    "chmod",
    "device",
  ] as const;
  const path = (): string =>
    Array.from({ length: randomInt(1, 4) }, () => NAMES[randomInt(NAMES.length)]).join("/");
  return { verb: verbs[randomInt(verbs.length)] ?? "write", path: path(), other: path() };
}

/** The errno of what went wrong, or "done". */
async function apply({ verb, path, other }: Change, root: string): Promise<string> {
  const at = join(root, path);
  try {
    if (verb === "write") await writeFile(at, `${path} ${other}`);
    else if (verb === "mkdir") await mkdir(at);
    else if (verb === "remove") await rm(at, { recursive: true });
    else if (verb === "rename") await rename(at, join(root, other));
    else if (verb === "symlink") await symlink(other, at);
    else if (verb === "chmod") await run("chmod", ["700", at]);
    else await run("mknod", [at, "c", "1", "3"]);
    return "done";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? `${error.code}` : "failed";
    // Of a rename onto a directory that is not empty: rename(2) allows either, XFS says the other.
    return code === "EEXIST" && verb === "rename" ? "ENOTEMPTY" : code;
  }
}

/** Kinds, modes, sizes, targets and texts of all entries. */
async function shown(root: string): Promise<string> {
  const format = "%P %y %m %l %U:%G\\n";
  const { stdout } = await run("find", [root, "-mindepth", "1", "-printf", format]);
  const { stdout: sums } = await run("sh", [
    "-c",
    'cd "$1" && find . -type f -exec sha256sum {} +',
    "sh",
    root,
  ]);
  const lines = [...stdout.split("\n"), ...sums.split("\n")];
  return lines
    .filter((line) => line !== "")
    .sort()
    .join("\n");
}
