import { execFile } from "node:child_process";
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { createOverlayDriver } from "../../src/drivers/overlay/driver.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { Scratch } from "./driver-disk.ts";

const run = promisify(execFile);
const LIVE = new AbortController().signal;
const [BASE_ACTIVE, BASE, ONE] = [1, 2, 3].map((number) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${number}`),
) as [LayerId, LayerId, LayerId];
const NEW = { sizeBytes: null, owner: { uid: 0, gid: 0, mode: 0o755 }, kept: true } as const;

let scratch: Scratch;

beforeEach(async () => {
  scratch = await Scratch.make();
});
afterEach(() => scratch.dispose());

async function opened(disk: string): Promise<StorageDriver> {
  const ports = { files: hostFiles, kernel: hostKernel, exec: hostExec };
  const driver = createOverlayDriver(join(disk, "pool"), {}, ports);
  await driver.open(LIVE);
  return driver;
}

it.each([
  { disk: "ext4", mkfs: ["mkfs.ext4", "-q"] as const },
  { disk: "XFS", mkfs: ["mkfs.xfs", "-q"] as const },
  { disk: "btrfs", mkfs: ["mkfs.btrfs", "-q"] as const },
])(
  "what a container has synced is there after a power cut, however new it is, on $disk",
  async (on) => {
    const image = await scratch.image("disk", on.mkfs);
    const root = await scratch.mount(image);
    const driver = await opened(root);
    await driver.prepare(BASE_ACTIVE, { parent: null, ...NEW }, LIVE);
    await driver.commit(BASE_ACTIVE, BASE, LIVE);
    await run("sync", ["--file-system", root]);
    await driver.prepare(ONE, { parent: BASE, ...NEW, recorded: Promise.resolve() }, LIVE);
    const [mount] = await driver.mounts(ONE, { readOnly: false }, LIVE);
    if (mount === undefined) throw new Error("a layer has a mount");
    await scratch.reach(mount, async (merged) => {
      await run("sh", ["-c", "printf precious > data && sync data"], { cwd: merged });
      await copyFile(image, `${image}.cut`);
    });
    await driver.close(LIVE);
    const after = await opened(await scratch.mount(`${image}.cut`));
    expect((await after.list(LIVE)).map(({ id }) => id)).toEqual([BASE, ONE]);
    const [again] = await after.mounts(ONE, { readOnly: false }, LIVE);
    if (again === undefined) throw new Error("a layer has a mount");
    const text = await scratch.reach(again, (merged) => readFile(join(merged, "data"), "utf8"));
    expect(text).toBe("precious");
    await after.close(LIVE);
  },
);
