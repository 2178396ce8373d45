import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeNode } from "../../src/host/libc.ts";
import { mustRun } from "./command.ts";
import { writeImage } from "./containerd.ts";
import { BTRFS_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";

/*
 * What the unit takes from the daemon, it must not need: its capabilities are really taken from it here, and its system calls,
 * and those of all that it starts, are compared with the unit's filter.
 */

const UNIT: string = readFileSync("deploy/systemd/lagand.service", "utf8");
/** statmount(2), in the words of a strace that knows it, and of one that does not: without it the mount table is read. */
const SPARED: readonly string[] = ["statmount", "syscall_0x1c9"];
const CALL = /^\d+ +([a-z0-9_]+)\(/;

let machine: Machine;

beforeAll(async () => {
  machine = await Machine.create();
  const kept = settings("CapabilityBoundingSet").map((name) => `+${name.slice(4).toLowerCase()}`);
  await machine.lagand.start({
    config: `${BTRFS_POOL}layers: { pool: default }\n`,
    prefix: [
      ...["setpriv", `--bounding-set=-all,${kept.join(",")}`, "--no-new-privs"],
      ...["strace", "-f", "-qq", "-s", "0", "-o", machine.path("calls")],
    ],
  });
});
afterAll(() => machine[Symbol.asyncDispose]());

/** Values of a setting, of all its lines. */
function settings(name: string): readonly string[] {
  return UNIT.split("\n")
    .filter((line) => line.startsWith(`${name}=`))
    .flatMap((line) => line.slice(name.length + 1).split(" "));
}

/** Names of the system calls that the unit's filter lets through. */
async function allowed(): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const add = async (filter: string): Promise<void> => {
    if (!filter.startsWith("@")) {
      names.add(filter);
      return;
    }
    const shown = await mustRun(["systemd-analyze", "--no-pager", "syscall-filter", filter]);
    for (const line of shown.split("\n").slice(1)) {
      const name = line.trim();
      if (name !== "" && !name.startsWith("#")) await add(name);
    }
  };
  // Every filter has them.
  for (const filter of ["@default", ...settings("SystemCallFilter")]) await add(filter);
  return names;
}

it("volumes, history, archives and images need no more than the unit leaves", async () => {
  const lagan = (...argv: readonly string[]) => machine.mustLagan(...argv);
  await lagan("volume", "create", "data", "--size", "64M");
  const at = JSON.parse(await lagan("volume", "inspect", "--json", "data"))[0].path as string;
  const inside = machine.namespace.inside(at);
  writeFileSync(`${inside}/program`, "content");
  await mustRun(["setcap", "cap_net_raw=ep", `${inside}/program`]);
  makeNode(`${inside}/null`, 0o020666, (1 << 8) | 3);
  await lagan("snapshot", "create", "data", "-m", "first");
  await lagan("clone", "data", "copy");
  const tar = machine.path("data.tar");
  await lagan("export", "data", "-o", tar);
  await lagan("import", "--devices", tar, "again");
  const again = JSON.parse(await lagan("volume", "inspect", "--json", "again"))[0].path as string;
  const copied = machine.namespace.inside(again);
  expect(readFileSync(`${copied}/program`, "utf8")).toBe("content");
  expect(await mustRun(["getcap", `${copied}/program`])).toMatch(/cap_net_raw=ep/);
  expect(await mustRun(["stat", "-c", "%F %t:%T", `${copied}/null`])).toBe(
    "character special file 1:3",
  );
  const layer = machine.path("layer");
  mkdirSync(layer);
  await mustRun(["cp", "-a", `${inside}/.`, layer]);
  const image = await writeImage(machine.path(), "app", [layer]);
  await lagan("image", "import", image);
  await lagan("volume", "rm", "again");
  await lagan("trash", "empty", "--force");
  const used = new Set(
    readFileSync(machine.path("calls"), "utf8")
      .split("\n")
      .flatMap((line) => CALL.exec(line)?.[1] ?? []),
  );
  expect(used.size).toBeGreaterThan(50);
  const names = new Set([...(await allowed()), ...SPARED]);
  expect([...used].filter((name) => !names.has(name))).toEqual([]);
}, 300_000);
