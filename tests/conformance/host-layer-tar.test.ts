import { execFileSync } from "node:child_process";
import { createReadStream, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostLayerTar } from "../../src/host/layer-tar.ts";
import { command } from "./host-machine.ts";
import { LayerDisk, type LayerDiskType } from "./layer-disk.ts";
import { layerTarConformance } from "./layer-tar.ts";
import { takeSteps, treeSteps } from "./layer-tree.ts";
import { describeTree, makeRichTree } from "./rich-tree.ts";

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
        const wanted = describeTree(child);
        const to = disk.child(parent);
        await hostLayerTar.apply(to, hostLayerTar.diff(child, parent, signal), ALL, signal);
        expect(describeTree(to)).toEqual(wanted);
        const alone = disk.child(disk.tree());
        await hostLayerTar.apply(alone, hostLayerTar.diff(child, null, signal), ALL, signal);
        expect(describeTree(alone)).toEqual(wanted);
        expect(await changesOf(to, child)).toEqual([]);
      });
      await fc.assert(property, { numRuns: RUNS });
    }));
});
