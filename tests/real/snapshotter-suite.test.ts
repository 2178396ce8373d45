import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./command.ts";
import { Machine } from "./machine.ts";

/* containerd's own suite (v1.6.20), which it holds each of its snapshotters to, over our socket. Needs Go and its module proxy. */

const SUITE = join(import.meta.dirname, "snapshotter-suite");
const GO = ["/usr/local/go/bin/go", "/usr/bin/go"].find((path) => existsSync(path));
const POOLS: Readonly<Record<string, string>> = {
  overlay: "driver: overlay",
  btrfs: "driver: btrfs, size: 2G",
};
/** Building it from nothing takes minutes. */
const BUILD_TIMEOUT_MS = 600_000;
const RUN_TIMEOUT_MS = 180_000;

describe("containerd's SnapshotterSuite", () => {
  let machine: Machine;
  let program: string;
  let missing: string | undefined;

  beforeAll(async () => {
    machine = await Machine.create();
    program = machine.path("suite.test");
    missing = await build(program);
    if (missing === undefined) return;
    if (process.env["CI"]) throw new Error(missing);
    console.warn(`containerd's suite is not run: ${missing}`);
  }, BUILD_TIMEOUT_MS);
  afterAll(async () => {
    await machine[Symbol.asyncDispose]();
  });

  it.for(Object.keys(POOLS))(
    "holds on %s",
    { timeout: RUN_TIMEOUT_MS },
    async (driver, { skip }) => {
      if (missing !== undefined) return skip(missing);
      await machine.mountDisk(driver);
      await machine.lagand.start({
        config: `pools:\n  default: { ${POOLS[driver]} }\n`,
        args: ["--state-dir", machine.path(driver, "state")],
      });
      const { code, stdout } = await machine.run([program, "-test.root", "-test.v"], {
        env: { LAGAN_SNAPSHOTS: machine.path("run/snapshots.sock"), TMPDIR: machine.path("tmp") },
        timeoutMs: RUN_TIMEOUT_MS,
      });
      await machine.lagand.stop();
      expect(code, stdout).toBe(0);
      // One is skipped by the suite itself: renaming a directory of a lower layer.
      expect(stdout.match(/--- PASS: TestDoor\//g)).toHaveLength(20);
    },
  );
});

/** Builds the suite; answers why it cannot be. */
async function build(program: string): Promise<string | undefined> {
  if (GO === undefined) return "Go is not installed";
  const { code, stderr } = await run([GO, "-C", SUITE, "test", "-c", "-o", program, "."], {
    timeoutMs: BUILD_TIMEOUT_MS,
    env: { ...process.env, GOFLAGS: "-mod=readonly" },
  });
  if (code === 0) return undefined;
  if (/dial tcp|proxy\.golang\.org|no such host|i\/o timeout/.test(stderr)) {
    return `its modules cannot be had: ${stderr.split("\n").at(-2)}`;
  }
  throw new Error(stderr);
}
