import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { Background } from "./background.ts";
import { eventually } from "./command.ts";
import { CsiHost } from "./csi-host.ts";
import { BUILD_TIMEOUT_MS, goTool } from "./go-tool.ts";
import type { Machine } from "./machine.ts";
import { runSanity } from "./sanity.ts";

/*
 * kubernetes-csi/csi-test's suite against the daemon on every driver. What it skips is what docs/csi.md says, with
 * reasons, and nothing else.
 */

const MIB = 1024n ** 2n;

interface Run {
  readonly title: string;
  readonly pool: string;
  /** Of the section `csi` in the configuration. */
  readonly csi?: string;
  readonly block?: boolean;
  readonly before?: (machine: Machine) => Promise<void>;
}

/** Everything on: what only version 1.13 knows, and a limit of volumes. */
const WHOLE = '{ health: "true", maxVolumes: "8" }';

const RUNS: readonly Run[] = [
  { title: "btrfs", pool: "{ driver: btrfs, size: 1G }" },
  { title: "btrfs, as configured by itself", pool: "{ driver: btrfs, size: 1G }", csi: "{}" },
  { title: "directory", pool: "{ driver: directory }" },
  { title: "loop", pool: "{ driver: loop }" },
  { title: "loop, block", pool: "{ driver: loop }", block: true },
  { title: "overlay", pool: "{ driver: overlay }" },
  { title: "zfs", pool: "{ driver: zfs, size: 1G }", before: startZfs },
];

it.for(RUNS)(
  "csi-sanity passes on $title",
  { timeout: BUILD_TIMEOUT_MS + 300_000 },
  async ({ title, pool, csi = WHOLE, block = false, before }, context) => {
    const program = await goTool("csi-sanity", context);
    const config = `csi: ${csi}\npools: { default: ${pool} }\n`;
    await using host = await CsiHost.start({ config }, before);
    const outcomes = await runSanity(host, {
      ...{ program, block, sizeBytes: 64n * MIB },
      mutableParameters: { "label.tier": "gold" },
    });
    const failed = outcomes.filter(({ state }) => state === "failed");
    expect(failed).toEqual([]);
    const skipped = outcomes.filter(({ state }) => state === "skipped" || state === "pending");
    expect(new Set(skipped.map(({ name }) => name))).toEqual(await documented(title));
    expect(outcomes.length).toBeGreaterThan(100);
    // It cleans up after itself: what is mounted still was forgotten by the driver.
    expect(await host.mounted()).toEqual([]);
  },
);

/** The tests that docs/csi.md says are skipped there: rows of `| test | where | why |`. */
async function documented(title: string): Promise<ReadonlySet<string>> {
  const page = await readFile("docs/csi.md", "utf8");
  const rows = [...page.matchAll(/^\| (.+ > .+) \| (.+) \| (.+) \|$/gm)];
  expect(rows.length).toBeGreaterThan(0);
  for (const [, name, , why] of rows) expect(why?.trim(), name).not.toBe("");
  const here = rows.filter(([, , where]) => where === "all" || where === title);
  return new Set(here.map(([, name = ""]) => name));
}

async function startZfs({ namespace }: Machine): Promise<void> {
  const script =
    "mkdir -p /var/run/zfs /var/lock/zfs /var/lib/zfs; exec zfs-fuse --no-daemon --no-kstat-mount";
  new Background(namespace.enter(["sh", "-c", script]), {
    ...{ env: namespace.env, logFile: namespace.path("zfs-fuse.log") },
  });
  const listed = () => namespace.run(["zpool", "list"]);
  await eventually("zfs-fuse answers", async () => (await listed()).code === 0);
}
