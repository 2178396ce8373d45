import { execFile } from "node:child_process";
import { copyFile } from "node:fs/promises";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { Scratch } from "./driver-disk.ts";

const run = promisify(execFile);

const SHORT = "kept";
const LONG = "kept ".repeat(300);

/** What a power cut right after a commit of the file system's journal leaves of what was written and renamed before it. */
async function afterCut(
  mkfs: readonly [string, ...string[]],
  write: (directory: string) => Promise<void>,
) {
  const scratch = await Scratch.make();
  try {
    const image = await scratch.image("disk", mkfs);
    const root = await scratch.mount(image);
    await run("mkdir", [`${root}/made`, `${root}/draft`]);
    await run("sync", ["--file-system", root]);
    await write(`${root}/draft`);
    await hostFiles.perform([{ do: "rename", from: `${root}/draft`, to: `${root}/made/whole` }]);
    // Somebody else's, for which the file system writes down all names so far.
    await hostFiles.writeText(`${root}/other`, "other");
    await copyFile(image, `${image}.cut`);
    await run("umount", [root]);
    const cut = await scratch.mount(`${image}.cut`);
    return await hostFiles.readNotes([`${cut}/made/whole/text`]);
  } finally {
    await scratch.dispose();
  }
}

const writeNote = (text: string) => (directory: string) =>
  hostFiles.perform([{ do: "writeNote", path: `${directory}/text`, text, fresh: true }]);

describe.each([
  { disk: "ext4", mkfs: ["mkfs.ext4", "-q"] as const },
  { disk: "XFS", mkfs: ["mkfs.xfs", "-q"] as const },
  { disk: "btrfs", mkfs: ["mkfs.btrfs", "-q"] as const },
])("on $disk", ({ mkfs }) => {
  it("one that was written again is on the disk when its directory is", async () => {
    const scratch = await Scratch.make();
    try {
      const image = await scratch.image("disk", mkfs);
      const root = await scratch.mount(image);
      await run("mkdir", [`${root}/made`]);
      const path = `${root}/made/text`;
      for (const text of ["first", SHORT]) {
        await hostFiles.perform([{ do: "writeNote", path, text }]);
        await hostFiles.syncDirectory(`${root}/made`);
      }
      await copyFile(image, `${image}.cut`);
      await run("umount", [root]);
      const cut = await scratch.mount(`${image}.cut`);
      expect(await hostFiles.readNotes([`${cut}/made/text`])).toEqual([SHORT]);
    } finally {
      await scratch.dispose();
    }
  });

  it.each([
    { of: "a note", text: SHORT },
    { of: "one that is too long for a link", text: LONG },
  ])("a power cut leaves $of whole where it leaves its name", async ({ text }) => {
    expect(await afterCut(mkfs, writeNote(text))).toEqual([text]);
  });
});

it("of a file that is not synced it may leave the name alone", async () => {
  const left = await afterCut(["mkfs.ext4", "-q"], async (directory) => {
    await run("sh", ["-c", `printf kept > ${directory}/text`]);
  });
  expect(left).toEqual([""]);
});

it("a note takes the place of a file, and a file that of a note", async () => {
  const scratch = await Scratch.make();
  try {
    const root = await scratch.mount(await scratch.image("disk", ["mkfs.ext4", "-q"]));
    const path = `${root}/text`;
    await hostFiles.writeText(path, "a file");
    expect(await hostFiles.readNotes([path])).toEqual(["a file"]);
    await hostFiles.perform([{ do: "writeNote", path, text: SHORT }]);
    expect(await hostFiles.readNotes([path, `${root}/absent`])).toEqual([SHORT, undefined]);
    await expect(hostFiles.readText(path)).rejects.toMatchObject({ code: "invalid_argument" });
    await hostFiles.perform([{ do: "writeNote", path, text: LONG }]);
    expect(await hostFiles.readNotes([path])).toEqual([LONG]);
    await hostFiles.perform([{ do: "writeNote", path, text: SHORT }]);
    await hostFiles.writeText(path, "a file");
    expect(await hostFiles.readText(path)).toBe("a file");
  } finally {
    await scratch.dispose();
  }
});
