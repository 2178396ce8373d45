import { mkdir, readdir, rename, symlink, writeFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, it } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { HostMachine } from "../conformance/host-machine.ts";

const ROUNDS = 30;
const { signal } = new AbortController();
let machine: HostMachine;

beforeEach(async () => {
  machine = await HostMachine.make();
});
afterEach(() => machine.cleanup());

/** Exchanges two paths as fast as the kernel can, whenever both are there, until it is stopped. */
const SWAPPER = `
  const koffi = require("koffi");
  const { workerData, parentPort } = require("node:worker_threads");
  const rename = koffi.load("libc.so.6").func("int renameat2(int, str, int, str, uint)");
  const { a, b, flags } = workerData;
  let swaps = 0;
  while (Atomics.load(flags, 0) === 0) if (rename(-100, a, -100, b, 2) === 0) swaps++;
  parentPort.postMessage(swaps);
`;

/** Runs `work` while two paths are exchanged, or mounted one on the other. @returns How often they were. */
async function whileSwapping(
  a: string,
  b: string,
  work: () => Promise<void>,
  script = SWAPPER,
): Promise<number> {
  const flags = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(script, { eval: true, workerData: { a, b, flags } });
  const swaps = new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  try {
    await work();
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
  const swaps = await whileSwapping(`${tree}/swap`, `${tree}/link`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
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
    swaps++;
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
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
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
