import fc from "fast-check";
import { expect, it } from "vitest";
import { recount } from "./accounting.ts";
import { SimFileSystem } from "./file-system.ts";
import { contentOf, type SimNode } from "./node.ts";

const owner = { mode: 0o755, uid: 0, gid: 0 };

function makeBtrfs(): SimFileSystem {
  let minor = 10;
  return new SimFileSystem({
    type: "btrfs",
    totalBytes: 1024 ** 3,
    minor,
    newMinor: () => ++minor,
  });
}

function directoriesOf(fileSystem: SimFileSystem): SimNode[] {
  const nodes = [fileSystem.top.root];
  for (const node of nodes) {
    for (const child of node.entries.values()) if (child.kind === "directory") nodes.push(child);
  }
  return nodes;
}

/** One change in memory, chosen by three numbers; whatever does not fit is passed over. */
function change(fileSystem: SimFileSystem, [verb, a, b]: readonly [number, number, number]): void {
  const directories = directoriesOf(fileSystem);
  const directory = directories[a % directories.length] ?? fileSystem.top.root;
  const other = directories[b % directories.length] ?? fileSystem.top.root;
  const name = `n${b % 4}`;
  const there = directory.entries.get(name);
  switch (verb % 6) {
    case 0:
      if (!there) fileSystem.create(directory, name, "directory", owner);
      break;
    case 1: {
      if (there && there.kind !== "file") break;
      const file = there ?? fileSystem.create(directory, name, "file", owner);
      fileSystem.setContent(file, contentOf(null, b, b * 1000), name);
      break;
    }
    case 2:
      if (there) fileSystem.unlink(there);
      break;
    case 3:
      if (!there) fileSystem.createSubvolume(directory, name);
      break;
    case 4:
      if (!there && other.isSubvolume) fileSystem.snapshot(other.tree, directory, name, false);
      break;
    case 5:
      if (there) fileSystem.setAttributes(there, { mode: b });
      break;
  }
}

/** Everything that can be seen, as text. */
function picture(fileSystem: SimFileSystem): string {
  const lines = [`${fileSystem.usedBytes} ${[...fileSystem.subvolumes.keys()].sort()}`];
  const draw = (node: SimNode): void => {
    const { mode, content } = node.attributes;
    const { id, referencedBytes, exclusiveBytes } = node.tree;
    const { path, deleted } = node.pathFrom(fileSystem.top.root);
    lines.push(
      `${path}${deleted} ${node.kind} ${mode.toString(8)} ${content.sizeBytes} in ${id} ${referencedBytes} ${exclusiveBytes}`,
    );
    for (const name of [...node.entries.keys()].sort()) {
      const child = node.entries.get(name);
      if (child) draw(child);
    }
  };
  draw(fileSystem.top.root);
  return lines.join("\n");
}

const changes = fc.array(fc.tuple(fc.nat(5), fc.nat(30), fc.nat(30)), { maxLength: 40 });

it("reverts to what the last commit saw, whatever was changed since", () => {
  fc.assert(
    fc.property(changes, changes, (before, after) => {
      const fileSystem = makeBtrfs();
      for (const one of before) change(fileSystem, one);
      fileSystem.commit();
      const committed = picture(fileSystem);
      for (const one of after) change(fileSystem, one);
      fileSystem.revert();
      expect(picture(fileSystem)).toBe(committed);
    }),
  );
});

it("counts as it goes what a count of everything finds", () => {
  fc.assert(
    fc.property(changes, (all) => {
      const fileSystem = makeBtrfs();
      for (const one of all) change(fileSystem, one);
      const counted = picture(fileSystem);
      recount(fileSystem);
      expect(picture(fileSystem)).toBe(counted);
    }),
  );
});

it("keeps what was persisted one by one, as a commit would", () => {
  fc.assert(
    fc.property(changes, (all) => {
      const fileSystem = makeBtrfs();
      for (const one of all) change(fileSystem, one);
      const before = picture(fileSystem);
      const nodes = [fileSystem.top.root];
      for (const node of nodes) nodes.push(...node.entries.values());
      for (const node of nodes) fileSystem.persist(node);
      fileSystem.revert();
      expect(picture(fileSystem)).toBe(before);
    }),
  );
});
