import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { command } from "./host-machine.ts";
import { makeRichTree, setAttribute } from "./rich-tree.ts";
import { whileSwapping } from "./swapping.ts";
import { listChanges, type TreeDiffGiven, treeDiffConformance } from "./tree-diff.ts";

treeDiffConformance("this machine's", { fresh: () => fresh() });

async function fresh(): Promise<TreeDiffGiven> {
  const directory = mkdtempSync(join(tmpdir(), "td-"));
  const at = (name: string): string => join(directory, name);
  mkdirSync(at("before"));
  makeRichTree(at("before"));
  execFileSync("cp", ["--archive", at("before"), at("after")]);
  const after = at("after");
  return {
    treeDiff: hostTreeDiff,
    before: at("before"),
    after,
    absent: at("absent"),
    change: async (script) => {
      execFileSync("bash", ["-c", script], { cwd: after });
    },
    cleanup: () => rm(directory, { recursive: true, force: true }),
  };
}

describe("TreeDiff: this machine's, on real trees", () => {
  const { signal } = new AbortController();
  const within = async (body: (given: TreeDiffGiven) => Promise<void>): Promise<void> => {
    const given = await fresh();
    try {
      await body(given);
    } finally {
      await given.cleanup();
    }
  };

  it("1 tells attributes and ACLs", () =>
    within(async ({ treeDiff, before, after }) => {
      setAttribute(`${after}/block`, "user.new", Buffer.from("1"));
      setAttribute(`${after}/large`, "user.empty", Buffer.from("no more"));
      setAttribute(`${after}/d`, "trusted.of-directory", Buffer.from("u".repeat(2000)));
      setAttribute(`${after}/dangling`, "trusted.of-link", Buffer.from("1"));
      expect(await listChanges(treeDiff.compare(before, after, signal))).toEqual([
        "changed file block 512 512",
        "changed directory d 0 0",
        "changed symlink dangling 0 0",
        "changed file large 300000 300000",
      ]);
    }));

  it("5 does not enter what is mounted", () =>
    within(async ({ treeDiff, before, after }) => {
      await command("mount", "-t", "tmpfs", "-o", "mode=755", "none", `${after}/d/empty`);
      try {
        writeFileSync(`${after}/d/empty/inside`, "x");
        expect(await listChanges(treeDiff.compare(before, after, signal))).toEqual([]);
      } finally {
        await command("umount", `${after}/d/empty`);
      }
    }));

  it("5 is not led out by a directory that becomes a link", () =>
    within(async ({ treeDiff, before, after }) => {
      const outside = `${before}-outside`;
      mkdirSync(outside);
      writeFileSync(`${outside}/secret`, "x");
      mkdirSync(`${after}/swap`);
      symlinkSync(outside, `${after}/link`);
      try {
        await whileSwapping(`${after}/swap`, `${after}/link`, async () => {
          for (let round = 0; round < 15; round++) {
            const lines = await listChanges(treeDiff.compare(before, after, signal));
            expect(lines.join("\n")).not.toContain("secret");
          }
        });
      } finally {
        await rm(outside, { recursive: true });
      }
    }));

  it("6 the event loop goes on meanwhile", () =>
    within(async ({ treeDiff, before, after }) => {
      chmodSync(before, 0o755);
      let ticks = 0;
      const ticking = setInterval(() => ticks++, 1);
      await listChanges(treeDiff.compare(before, after, signal));
      clearInterval(ticking);
      expect(ticks).toBeGreaterThan(3);
    }));
});
