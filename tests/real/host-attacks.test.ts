import { lstat, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, it } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { command, HostMachine } from "../conformance/host-machine.ts";

const ROUNDS = 30;
const { signal } = new AbortController();
let machine: HostMachine;

beforeEach(async () => {
  machine = await HostMachine.make();
});
afterEach(() => machine.cleanup());

/** The other thread may begin late. */
const goesOn = (round: number, swapsSoFar: number): boolean =>
  round < ROUNDS || (swapsSoFar <= ROUNDS && round < 100 * ROUNDS);

/** Exchanges two paths as fast as the kernel can, whenever both are there, until it is stopped. */
const SWAPPER = `
  const koffi = require("koffi");
  const { workerData, parentPort } = require("node:worker_threads");
  const rename = koffi.load("libc.so.6").func("int renameat2(int, str, int, str, uint)");
  const { a, b, flags } = workerData;
  let swaps = 0;
  while (Atomics.load(flags, 0) === 0) {
    if (rename(-100, a, -100, b, 2) === 0) Atomics.store(flags, 1, ++swaps);
  }
  parentPort.postMessage(swaps);
`;

/** Runs `work` while two paths are exchanged, or mounted one on the other. @returns How often they were. */
async function whileSwapping(
  a: string,
  b: string,
  work: (swapsSoFar: () => number) => Promise<void>,
  script = SWAPPER,
): Promise<number> {
  const flags = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(script, { eval: true, workerData: { a, b, flags } });
  const swaps = new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  try {
    await work(() => Atomics.load(flags, 1));
  } finally {
    Atomics.store(flags, 0, 1);
  }
  return swaps;
}

it("removeTree touches nothing outside, while a directory in the tree becomes a link to there and back", async () => {
  const outside = await machine.makeDirectory("outside");
  const names = Array.from({ length: 20 }, (_, index) => `file-${index}`);
  for (const name of names) await writeFile(`${outside}/${name}`, "precious");
  const tree = `${machine.directory}/tree`;
  const swaps = await whileSwapping(`${tree}/swap`, `${tree}/link`, async (swapsSoFar) => {
    for (let round = 0; goesOn(round, swapsSoFar()); round++) {
      // Built aside, so that the swapper waits for it.
      const fresh = `${machine.directory}/fresh`;
      await mkdir(`${fresh}/swap/deep`, { recursive: true });
      for (const name of names) await writeFile(`${fresh}/swap/${name}`, "");
      for (const name of names) await writeFile(`${fresh}/swap/deep/${name}`, "");
      await symlink(outside, `${fresh}/link`);
      await rename(fresh, tree);
      await hostFiles.removeTree(tree, signal);
      expect((await readdir(outside)).length).toBe(names.length);
    }
  });
  expect(swaps).toBeGreaterThan(ROUNDS);
});

/** Mounts one directory on another and takes it away, as fast as the kernel can, until it is stopped. */
const MOUNTER = `
  const koffi = require("koffi");
  const { workerData, parentPort } = require("node:worker_threads");
  const libc = koffi.load("libc.so.6");
  const mount = libc.func("int mount(str, str, str, ulong, str)");
  const unmount = libc.func("int umount2(str, int)");
  const { a, b, flags } = workerData;
  let swaps = 0;
  const linger = (ms) => { for (const end = performance.now() + ms; performance.now() < end; ); };
  while (Atomics.load(flags, 0) === 0) {
    if (mount(a, b, null, 4096, null) !== 0) continue;
    Atomics.store(flags, 1, ++swaps);
    linger(2);
    unmount(b, 2);
    linger(1);
  }
  parentPort.postMessage(swaps);
`;

it("removeTree touches nothing outside, while a directory of the same file system is mounted in the tree and taken away", async () => {
  const outside = await machine.makeDirectory("outside");
  const names = Array.from({ length: 20 }, (_, index) => `file-${index}`);
  for (const name of names) await writeFile(`${outside}/${name}`, "precious");
  const tree = `${machine.directory}/tree`;
  const mounts = await whileSwapping(
    outside,
    `${tree}/mounted`,
    async (mountsSoFar) => {
      for (let round = 0; goesOn(round, mountsSoFar()); round++) {
        await mkdir(`${tree}/mounted`, { recursive: true });
        for (const name of names) await writeFile(`${tree}/${name}`, "");
        await removeTreeAtLast(tree);
        expect((await readdir(outside)).length).toBe(names.length);
      }
    },
    MOUNTER,
  );
  expect(mounts).toBeGreaterThan(ROUNDS);
});

/** A removal is refused while something is mounted in the tree. */
async function removeTreeAtLast(path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await hostFiles.removeTree(path, signal);
      return;
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: "failed_precondition" });
      if (attempt === 1000) throw thrown;
    }
  }
}

it("removeSubvolume neither removes nor opens to writes a subvolume elsewhere that a link in the tree leads to", async () => {
  const image = await machine.makeImage("disk.img", "btrfs", 256 * 1024 ** 2);
  const disk = await machine.mount("-o loop", image, "disk");
  const outside = `${disk}/outside`;
  await mkdir(outside);
  for (const path of ["own", "own/inner"]) await hostKernel.createSubvolume(`${outside}/${path}`);
  await hostKernel.setSubvolumeReadOnly(`${outside}/own`, true);
  const volume = `${disk}/volume`;
  const swaps = await whileSwapping(`${volume}/swap`, `${volume}/link`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      // Built aside, so that the swapper waits for it.
      const fresh = `${disk}/fresh`;
      await hostKernel.createSubvolume(fresh);
      await mkdir(`${fresh}/swap`);
      await hostKernel.createSubvolume(`${fresh}/swap/own`);
      await hostKernel.createSubvolume(`${fresh}/swap/own/inner`);
      await hostKernel.setSubvolumeReadOnly(`${fresh}/swap/own`, true);
      await symlink(outside, `${fresh}/link`);
      await rename(fresh, volume);
      await removeAtLast(volume);
      expect(await readdir(disk)).toEqual(["outside"]);
      expect(await readdir(`${outside}/own`)).toEqual(["inner"]);
      expect((await hostKernel.findSubvolume(`${outside}/own`))?.readOnly).toBe(true);
    }
  });
  expect(swaps).toBeGreaterThan(ROUNDS);
});

/** A removal may fail while the way to a read-only subvolume in the tree leads elsewhere. */
async function removeAtLast(path: string): Promise<void> {
  for (let round = 1; ; round++) {
    try {
      await hostKernel.removeSubvolume(path);
      return;
    } catch (thrown) {
      if (round === 1000) throw thrown;
      expect(thrown).toMatchObject({
        code: expect.stringMatching(/failed_precondition|not_found/),
      });
    }
  }
}

/** Copies a tree again and again, and looks at each copy, while two paths in the tree are exchanged. */
async function copyWhileSwapping(
  tree: string,
  names: readonly [string, string],
  look: (copy: string) => Promise<void>,
): Promise<void> {
  const swaps = await whileSwapping(`${tree}/${names[0]}`, `${tree}/${names[1]}`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const copy = `${machine.directory}/copy-${round}`;
      await hostFiles.copyTree(tree, copy, signal);
      await look(copy);
      await rm(copy, { recursive: true });
    }
  });
  expect(swaps).toBeGreaterThan(ROUNDS);
}

it("copyTree takes nothing from outside, while a directory in the tree becomes a link to there and back", async () => {
  const outside = await machine.makeDirectory("outside");
  const tree = await machine.makeDirectory("tree");
  await mkdir(`${tree}/swap`);
  for (let index = 0; index < 300; index++) {
    await writeFile(`${outside}/file-${index}`, "secret");
    await writeFile(`${tree}/swap/file-${index}`, "ours");
  }
  await symlink(outside, `${tree}/link`);
  await copyWhileSwapping(tree, ["swap", "link"], async (copy) => {
    for (const name of ["swap", "link"]) {
      if ((await lstat(`${copy}/${name}`)).isSymbolicLink()) continue;
      expect(await readFile(`${copy}/${name}/file-0`, "utf8")).toBe("ours");
      expect(await readdir(`${copy}/${name}`)).toHaveLength(300);
    }
  });
});

it("copyTree waits for no FIFO and opens no device that a file becomes", async () => {
  const tree = await machine.makeDirectory("tree");
  await writeFile(`${tree}/file`, "ours");
  await command("mkfifo", `${tree}/fifo`);
  await copyWhileSwapping(tree, ["file", "fifo"], async (copy) => {
    for (const name of await readdir(copy)) {
      const stats = await lstat(`${copy}/${name}`);
      if (!stats.isFIFO()) expect(await readFile(`${copy}/${name}`, "utf8")).toBe("ours");
    }
  });
});

it("copyTree never misses a file that is replaced meanwhile", async () => {
  const tree = await machine.makeDirectory("tree");
  for (let index = 0; index < 100; index++) await writeFile(`${tree}/other-${index}`, "other");
  await writeFile(`${tree}/current`, "one");
  await writeFile(`${tree}/next`, "two");
  await copyWhileSwapping(tree, ["current", "next"], async (copy) => {
    for (const name of ["current", "next"]) {
      expect(await readFile(`${copy}/${name}`, "utf8")).toMatch(/^(one|two)$/);
    }
  });
});

it("copyTree copies a tree that is deeper than any path", async () => {
  const tree = await machine.makeDirectory("tree");
  const deep = `
    const { linkSync, mkdirSync, writeFileSync } = require("node:fs");
    for (let level = 0; level < 1000; level++) {
      mkdirSync("a-name-of-twenty-bytes");
      process.chdir("a-name-of-twenty-bytes");
    }
    writeFileSync("bottom", "down here");
    linkSync("bottom", "bottom too");
  `;
  await command("env", "--chdir", tree, process.execPath, "--eval", deep);
  const copy = `${machine.directory}/copy`;
  try {
    await hostFiles.copyTree(tree, copy, signal);
    for (const path of [tree, copy]) {
      const found = await command("find", path, "-type", "f", "-printf", "%d %s %n.");
      expect(found).toBe("1001 9 2.1001 9 2.");
    }
  } finally {
    // Node's own removal goes by paths.
    for (const path of [tree, copy]) await hostFiles.removeTree(path, signal);
  }
});

it("copyTree that is aborted stops soon, and nothing writes to the copy afterwards", async () => {
  const tree = await machine.makeDirectory("tree");
  for (let index = 0; index < 3000; index++) await writeFile(`${tree}/file-${index}`, "ours");
  const stop = new AbortController();
  const copy = `${machine.directory}/copy`;
  const copying = hostFiles.copyTree(tree, copy, stop.signal);
  await expect.poll(() => readdir(copy).catch(() => [])).not.toEqual([]);
  stop.abort("enough");
  await expect(copying).rejects.toBe("enough");
  const left = await readdir(copy);
  expect(left.length).toBeLessThan(3000);
  await rm(copy, { recursive: true });
  expect(await readdir(machine.directory)).not.toContain("copy");
});
