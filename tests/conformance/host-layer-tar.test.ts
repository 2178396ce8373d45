import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostLayerTar } from "../../src/host/layer-tar.ts";
import { collect, streamOf } from "./archive.ts";
import { command, HostMachine } from "./host-machine.ts";
import { LayerDisk, type LayerDiskType } from "./layer-disk.ts";
import { layerTarConformance } from "./layer-tar.ts";
import { takeSteps, treeSteps } from "./layer-tree.ts";
import { describeTree, makeRichTree } from "./rich-tree.ts";
import { whileSwapping } from "./swapping.ts";
import { archive } from "./tar-by-hand.ts";

const TYPES: readonly LayerDiskType[] = [
  "ext4",
  "xfs",
  "btrfs",
  "overlay on ext4",
  "overlay on xfs",
];
const GNU: readonly string[] = [
  ...["--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-timestamp"],
];
const ALL = { tarBytes: null };
/** Trees that each file system is tried with; `npm run fuzz` has more. */
const RUNS = 12;

describe.each(TYPES)("LayerTar on %s", (type) => {
  const { signal } = new AbortController();
  let disk: LayerDisk;
  beforeAll(async () => {
    disk = await LayerDisk.make(type);
  });
  afterAll(() => disk.cleanup());
  const within = async (body: () => Promise<void>): Promise<void> => {
    try {
      await body();
    } finally {
      await disk.empty();
    }
  };
  /** Overlay goes on to count links that copy-up broke; which names are one file is told by each line as well. */
  const described = (tree: string): readonly string[] =>
    describeTree(tree).map((line) =>
      type.startsWith("overlay") ? line.replace(/ (true|false) \d+ /, " $1 ") : line,
    );
  const changesOf = async (root: string, parent: string | null) => {
    const found: unknown[] = [];
    for await (const change of hostLayerTar.changes(root, parent, signal)) found.push(change);
    return found;
  };

  layerTarConformance((body) =>
    within(async () => {
      const canary = `${disk.directory()}/canary`;
      writeFileSync(canary, "alive");
      await body({
        layers: hostLayerTar,
        tree: () => disk.tree(),
        child: (parent) => disk.child(parent),
        canary,
      });
    }),
  );

  it("4, 11 a tree with everything comes back whole", () =>
    within(async () => {
      const tree = disk.tree();
      makeRichTree(tree);
      const child = disk.child(tree);
      const to = disk.child(disk.tree());
      await hostLayerTar.apply(to, hostLayerTar.diff(child, null, signal), ALL, signal);
      expect(describeTree(to)).toEqual(describeTree(child));
    }));

  it("4, 11 GNU tar and we read what the other wrote", () =>
    within(async () => {
      const tree = disk.directory();
      makeRichTree(tree);
      // ACLs are texts for GNU tar, which engines pass over, and which none of them writes.
      await command("setfacl", "--recursive", "--remove-all", "--remove-default", tree);
      const wanted = describeTree(tree);
      const written = disk.directory();
      execFileSync("tar", [
        ...GNU,
        "--sparse",
        "--format=posix",
        "-cf",
        `${written}/x.tar`,
        "-C",
        tree,
        ".",
      ]);
      const ours = disk.directory();
      await hostLayerTar.apply(ours, createReadStream(`${written}/x.tar`), ALL, signal);
      expect(describeTree(ours)).toEqual(wanted);
      await writeFile(`${written}/y.tar`, hostLayerTar.diff(tree, null, signal));
      const theirs = disk.directory();
      execFileSync("tar", [
        ...GNU,
        "--delay-directory-restore",
        "-xpf",
        `${written}/y.tar`,
        "-C",
        theirs,
      ]);
      expect(describeTree(theirs)).toEqual(wanted);
    }));

  it("11 what was changed in any way comes to a copy of the parent, and nothing else", () =>
    within(async () => {
      const property = fc.asyncProperty(treeSteps, treeSteps, async (before, after) => {
        await disk.empty();
        const parent = disk.tree();
        takeSteps(parent, before);
        const child = disk.child(parent);
        takeSteps(child, after, disk.copies);
        const wanted = described(child);
        const to = disk.child(parent);
        await hostLayerTar.apply(to, hostLayerTar.diff(child, parent, signal), ALL, signal);
        expect(described(to)).toEqual(wanted);
        const alone = disk.child(disk.tree());
        await hostLayerTar.apply(alone, hostLayerTar.diff(child, null, signal), ALL, signal);
        expect(described(alone)).toEqual(wanted);
        expect(await changesOf(to, child)).toEqual([]);
      });
      await fc.assert(property, { numRuns: RUNS });
    }));
});

describe("LayerTar on this machine", () => {
  const { signal } = new AbortController();
  const within = async (body: (machine: HostMachine) => Promise<void>): Promise<void> => {
    const machine = await HostMachine.make();
    try {
      await body(machine);
    } finally {
      await machine.cleanup();
    }
  };

  it("1 the event loop goes on, and memory stays, while much is made and applied at once", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("tree");
      for (let n = 0; n < 4; n++) writeFileSync(`${tree}/${n}`, randomBytes(12 * 1024 ** 2));
      for (let n = 0; n < 500; n++) writeFileSync(`${tree}/small-${n}`, "small");
      let ticks = 0;
      let mostBytes = 0;
      const before = process.memoryUsage().external;
      const ticking = setInterval(() => {
        ticks++;
        mostBytes = Math.max(mostBytes, process.memoryUsage().external);
      }, 1);
      const copies = [0, 1, 2].map(async (n) => {
        const to = await machine.makeDirectory(`to-${n}`);
        await hostLayerTar.apply(to, hostLayerTar.diff(tree, null, signal), ALL, signal);
        return to;
      });
      const made = await Promise.all(copies).finally(() => clearInterval(ticking));
      // A loop that was held up would not have come to them.
      expect(ticks).toBeGreaterThan(10);
      expect(mostBytes - before).toBeLessThan(40 * 1024 ** 2);
      for (const to of made) expect(describeTree(to)).toEqual(describeTree(tree));
    }));

  it("11 what is mounted in a tree is neither read nor removed", () =>
    within(async (machine) => {
      const parent = await machine.makeDirectory("parent");
      await machine.makeDirectory("parent/mounted");
      writeFileSync(`${parent}/mounted/below`, "below");
      execFileSync("cp", ["-aT", parent, `${machine.directory}/child`]);
      const child = `${machine.directory}/child`;
      await machine.mount("-t tmpfs", "none", "child/mounted");
      writeFileSync(`${child}/mounted/secret`, "the secret");
      const found: unknown[] = [];
      for await (const each of hostLayerTar.changes(child, parent, signal)) found.push(each);
      expect(found).toEqual([]);
      // Nor does a layer get at it.
      const [opaque, into] = [".wh..wh..opq", "mounted/x"].map((name) => archive({ name }));
      for (const bytes of [opaque, into]) {
        const applied = hostLayerTar.apply(child, streamOf(bytes as Buffer), ALL, signal);
        await expect(applied).rejects.toMatchObject({ code: "failed_precondition" });
      }
      expect(readdirSync(`${child}/mounted`)).toEqual(["secret"]);
    }));

  it("14 reads nothing from outside, though a directory becomes a link", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("tree");
      const outside = await machine.makeDirectory("outside");
      await machine.makeDirectory("tree/swap");
      for (let n = 0; n < 100; n++) {
        writeFileSync(`${outside}/s${n}`, "the secret");
        writeFileSync(`${tree}/swap/s${n}`, "harmless");
      }
      symlinkSync(outside, `${tree}/link`);
      await whileSwapping(`${tree}/swap`, `${tree}/link`, async () => {
        for (let round = 0; round < 15; round++) {
          const layer = await collect(hostLayerTar.diff(tree, null, signal));
          expect(layer.includes("the secret")).toBe(false);
        }
      });
    }));
});
