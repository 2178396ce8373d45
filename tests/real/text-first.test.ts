import { execFile } from "node:child_process";
import { copyFile, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { Scratch } from "./driver-disk.ts";

const run = promisify(execFile);

/** What a power cut right after a commit of btrfs leaves of a text that was written and renamed before it. */
async function textAfterCut(textFirst: boolean): Promise<string> {
  const scratch = await Scratch.make();
  try {
    const image = await scratch.image("disk", ["mkfs.btrfs", "-q"]);
    const root = await scratch.mount(image);
    await run("mkdir", [`${root}/made`]);
    await run("sync", ["--file-system", root]);
    await hostFiles.perform([
      { do: "makeDirectory", path: `${root}/draft`, mode: 0o700 },
      { do: "writeText", path: `${root}/draft/record`, text: "kept", textFirst },
      { do: "rename", from: `${root}/draft`, to: `${root}/made/whole` },
    ]);
    await hostKernel.commitSubvolumes(root);
    await copyFile(image, `${image}.cut`);
    await run("umount", [root]);
    const cut = await scratch.mount(`${image}.cut`);
    return await readFile(`${cut}/made/whole/record`, "utf8");
  } finally {
    await scratch.dispose();
  }
}

it("a text that goes first is on the disk with the names that a commit of btrfs takes along", async () => {
  expect(await textAfterCut(true)).toBe("kept");
});

it("one that does not go first is not: a power cut leaves its name, and nothing in it", async () => {
  expect(await textAfterCut(false)).toBe("");
});
