import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostArchive } from "../../src/host/archive.ts";
import { type ArchiveGiven, archiveConformance } from "./archive.ts";
import { describeTree, makeRichTree } from "./rich-tree.ts";

archiveConformance("this machine's", { fresh });

async function fresh(): Promise<ArchiveGiven> {
  const directory = mkdtempSync(join(tmpdir(), "ar-"));
  const at = (name: string): string => join(directory, name);
  mkdirSync(at("outside"));
  writeFileSync(at("outside/canary"), "alive");
  let count = 0;
  return {
    archive: hostArchive,
    makeRich: async () => {
      mkdirSync(at("rich"));
      makeRichTree(at("rich"));
      return at("rich");
    },
    absent: at("absent"),
    empty: async () => {
      const path = at(`empty-${count++}`);
      mkdirSync(path);
      return path;
    },
    canary: at("outside/canary"),
    describe: async (root) => describeTree(root),
    processes: async () => processesNaming(directory),
    cleanup: () => rm(directory, { recursive: true, force: true }),
  };
}

function processesNaming(directory: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(directory);
    } catch {
      return false;
    }
  });
}
