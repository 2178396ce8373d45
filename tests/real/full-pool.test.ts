import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HISTORY_VERBS, historyVerbs } from "./history-verbs.ts";
import { Machine } from "./machine.ts";
import { NodeTeller } from "./node-teller.ts";

/*
 * The verbs of history on a pool in which not a block is free: each is done or refused with why, nothing of it is there when it is
 * refused, and it works when there is room again.
 */

const TEST_MS = 300_000;
/** What is said when there is no room. */
const FULL = /no space|no room|is full|is left/i;

interface Kind {
  readonly title: string;
  readonly driver: string;
  /** Makes the file system that the pool lies on; absent: the pool makes its own. */
  readonly mkfs?: string;
  readonly sizeMib: number;
  readonly limited: boolean;
}

const KINDS: readonly Kind[] = [
  { title: "btrfs", driver: "btrfs", sizeMib: 256, limited: true },
  {
    ...{ title: "loop on ext4", driver: "loop", mkfs: "mkfs.ext4 -q -m 0", sizeMib: 200 },
    limited: true,
  },
  { title: "loop on XFS", driver: "loop", mkfs: "mkfs.xfs -q", sizeMib: 320, limited: true },
  {
    ...{ title: "directory on ext4", driver: "directory", mkfs: "mkfs.ext4 -q -m 0", sizeMib: 64 },
    limited: false,
  },
];
/** These make room, so they work without any. */
const REMOVALS = /rm|trash/;

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
});
afterEach(() => machine[Symbol.asyncDispose]());

async function must(...argv: readonly string[]): Promise<void> {
  const { code, stderr } = await machine.run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
}

/** Where the pool will lie. */
async function makeHome({ mkfs, sizeMib }: Kind): Promise<void> {
  const [image, home] = [machine.path("host.img"), machine.path("state/pools/default")];
  await must("mkdir", "-p", home);
  if (mkfs === undefined) return;
  await must("truncate", "-s", `${sizeMib}M`, image);
  await must(...mkfs.split(" "), image);
  await must("mount", "-o", "loop", image, home);
}

/** Takes every block that is left. */
async function fill(file: string): Promise<void> {
  for (const [part, size] of ["1M", "64k", "4k"].entries()) {
    await machine.run(["dd", "if=/dev/zero", `of=${file}.${part}`, `bs=${size}`, "conv=fsync"]);
  }
}

describe("a full pool", () => {
  it.each(KINDS)(
    "of $title: each verb is done or refused, leaves nothing, and works when there is room",
    { timeout: TEST_MS },
    async (kind) => {
      const { driver, mkfs, sizeMib, limited } = kind;
      await makeHome(kind);
      const size = mkfs === undefined ? `    size: ${sizeMib}M\n` : "";
      await machine.lagand.start({
        config: `pools:\n  default:\n    driver: ${driver}\n${size}`,
      });
      const node = new NodeTeller(machine);
      const verbs = historyVerbs(machine, node, { limited });
      const root = machine.path("state/pools/default", mkfs === undefined ? "mnt" : "");
      for (const title of HISTORY_VERBS) {
        if (title === "resize" && !limited) continue;
        const { prepare, act, undone, done } = verbs[title];
        await node.wipe();
        await prepare();
        expect(await node.tell(), title).toBe(undone);
        await fill(`${root}/fill`);
        const why = await act().then(
          () => undefined,
          (thrown: Error) => thrown.message,
        );
        if (why !== undefined) expect(why, title).toMatch(FULL);
        if (REMOVALS.test(title)) expect(why, title).toBeUndefined();
        // What has more bytes than are left cannot be there.
        if (title === "import") expect(why, title).toBeDefined();
        expect(await node.tell(), title).toBe(why === undefined ? done : undone);
        expect(await node.faults(), title).toEqual([]);
        await must("sh", "-c", `rm -f ${root}/fill.*; sync -f ${root}`);
        if (why !== undefined) await act();
        expect(await node.tell(), title).toBe(done);
        expect(await node.faults(), title).toEqual([]);
      }
    },
  );
});
