import { execFile } from "node:child_process";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FREEZE_LIMIT_MS } from "../../src/core/ports/kernel.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { Scratch } from "./driver-disk.ts";

const run = promisify(execFile);
const CLONE = join(import.meta.dirname, "frozen-clone.ts");
/** How long a writer may take before it counts as frozen for good, in milliseconds. */
const WRITER_TIMEOUT_MS = 20_000;

let scratch: Scratch;
/** An image on a disk whose files can share bytes, and where its file system is mounted. */
let image: string;
let mounted: string;

beforeEach(async () => {
  scratch = await Scratch.make();
  const disk = await scratch.mount(
    await scratch.image("disk.img", ["mkfs.xfs", "-q", "-m", "reflink=1"]),
  );
  image = join(disk, "layer.img");
  mounted = join(scratch.path, "layer");
  await run("truncate", ["--size=64M", image]);
  await run("mkfs.ext4", ["-q", "-F", image]);
  await mkdir(mounted);
  await run("mount", ["-o", "loop", image, mounted]);
});
afterEach(async () => {
  // A writer that waits for it cannot be killed, and would keep everything.
  await hostKernel.thaw(mounted);
  await scratch.dispose();
});

/** Where a process is killed: entering the `nth` ioctl on a path; how many there are with the keeper's own. */
const INSTANTS = {
  "before the freeze": { on: () => mounted, nth: 1, all: 2 },
  "frozen, before the clone": { on: () => `${image}.clone`, nth: 1, all: 1 },
  "frozen, after the clone": { on: () => mounted, nth: 2, all: 3 },
} as const;

describe("a process that is killed while it has a file system frozen", () => {
  for (const [instant, { on, nth, all }] of Object.entries(INSTANTS)) {
    it(`leaves it thawed: ${instant}`, async () => {
      const inject = `inject=ioctl:signal=KILL:when=${nth}`;
      const tracing = ["-f", "-qq", "-o", join(scratch.path, "trace"), "-P", on(), "-e", inject];
      const argv = [...tracing, process.execPath, CLONE, mounted, image, `${image}.clone`];
      await expect(run("strace", argv)).rejects.toMatchObject({ signal: "SIGKILL" });
      const trace = await readFile(join(scratch.path, "trace"), "utf8");
      expect(trace.match(/ioctl\(/g)).toHaveLength(all);
      expect(await writes(mounted)).toBe(true);
    });
  }
});

describe("a clone that takes too long", () => {
  it("is given up: writers go on, and no clone is left", async () => {
    const target = `${image}.clone`;
    const tracing = ["-f", "-qq", "-o", "/dev/null", "-P", target];
    const delay = ["-e", `inject=ioctl:delay_enter=${FREEZE_LIMIT_MS + 2_000}ms`];
    const argv = [...tracing, ...delay, process.execPath, CLONE, mounted, image, target];
    const clone = run("strace", argv);
    await expect(clone).rejects.toMatchObject({ stderr: expect.stringContaining("too early") });
    expect(await writes(mounted)).toBe(true);
    await expect(stat(target)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

/** False when a writer is not done in time; it is done when the file system is thawed. */
async function writes(directory: string): Promise<boolean> {
  const argv = ["if=/dev/zero", `of=${directory}/file`, "bs=4k", "count=1", "oflag=sync"];
  const late = setTimeout(WRITER_TIMEOUT_MS, false, { ref: false });
  return Promise.race([run("dd", argv).then(() => true), late]);
}

describe("a clone of the image of a frozen file system", () => {
  it("has everything that was written before, clean, and the freeze is short", async () => {
    await writeFile(join(mounted, "file"), "not synced");
    const frozenMs = await hostKernel.cloneFrozen([
      { frozen: mounted, source: image, target: `${image}.clone` },
    ]);
    expect(frozenMs).toBeLessThan(1_000);
    await writeFile(join(mounted, "file"), "later");
    const clone = join(scratch.path, "clone");
    await mkdir(clone);
    await run("mount", ["-o", "loop,ro,noload", `${image}.clone`, clone]);
    expect(await readFile(join(clone, "file"), "utf8")).toBe("not synced");
  });
});
