import { execFile } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { Scratch } from "./driver-disk.ts";

const run = promisify(execFile);

const CONTENT = "kept ".repeat(1_000);

it.each([
  { disk: "ext4", mkfs: ["mkfs.ext4", "-q"] as const },
  { disk: "XFS", mkfs: ["mkfs.xfs", "-q"] as const },
  { disk: "btrfs", mkfs: ["mkfs.btrfs", "-q"] as const },
])("a power cut right after a copy of a tree leaves all of it, on $disk", async ({ mkfs }) => {
  const scratch = await Scratch.make();
  // Of another file system: bytes that a copy shares are on the disk already.
  const elsewhere = await mkdtemp(join(tmpdir(), "lagan-copied-"));
  try {
    await hostFiles.ensureDirectory(`${elsewhere}/tree/inner`, { mode: 0o700 });
    await hostFiles.writeText(`${elsewhere}/tree/inner/file`, CONTENT);
    const image = await scratch.image("disk", mkfs);
    const root = await scratch.mount(image);
    await hostFiles.copyTree(`${elsewhere}/tree`, `${root}/copy`, new AbortController().signal);
    await copyFile(image, `${image}.cut`);
    await run("umount", [root]);
    const cut = await scratch.mount(`${image}.cut`);
    expect(await hostFiles.readText(`${cut}/copy/inner/file`)).toBe(CONTENT);
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
    await scratch.dispose();
  }
});
