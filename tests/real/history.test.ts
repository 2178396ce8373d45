import { describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { countRecords, Database } from "./database.ts";
import { loadBusybox } from "./images.ts";
import { BTRFS_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";

/*
 * "I upgrade my database, it goes wrong, I want the data of an hour ago back, and I want to keep the broken state to look
 * at." The database numbers its records, gives each a checksum, syncs it, and only then says so.
 */

const TEST_MS = 300_000;

const POOLS = {
  btrfs: BTRFS_POOL,
  loop: "pools:\n  default:\n    driver: loop\n    size: 64M\n",
  directory: "pools:\n  default:\n    driver: directory\n",
  overlay: "pools:\n  default:\n    driver: overlay\n",
} as const;

/** What a volume, made from `ref`, holds: read by a container of its own. */
async function readClone(host: Machine, ref: string, name: string): Promise<string> {
  await host.mustLagan("clone", ref, name);
  const args = ["run", "--rm", "--network=none", "-v", `${name}:/v`, "busybox", "cat", "/v/log"];
  const { stdout, stderr, code } = await host.docker(...args);
  expect(code, stderr).toBe(0);
  return stdout;
}

describe.concurrent.each(Object.keys(POOLS) as (keyof typeof POOLS)[])(
  "on %s",
  { timeout: TEST_MS },
  (driver) => {
    it("the data of before the upgrade comes back, and the broken state is kept", async () => {
      await using host = await Machine.create();
      await host.lagand.start({ config: POOLS[driver] });
      await host.engine.start();
      await loadBusybox(host);
      const database = await Database.begin(host);
      await database.writes(10);

      const least = database.acknowledged;
      const create = ["snapshot", "create", "data", "-m", "before the upgrade"];
      // Images on a file system without reflink are copied, and an overlay is sealed, so nobody may write meanwhile.
      const live = driver === "btrfs" || driver === "directory";
      if (!live)
        expect((await host.lagan(...create)).stderr).toContain("snapshot create data --stop");
      const before = await host.mustLagan(...create, ...(live ? [] : ["--stop"]));
      // The record under way may be in it.
      const most = database.acknowledged + 1;
      expect(before).toMatch(/^data@[0-9a-f]{12}$/);
      await database.writes(10);
      expect(await host.mustLagan("log", "data")).toContain("before the upgrade");
      const used = await host.lagan("restore", before);
      expect(used.stderr).toMatch(/in use by container .*stop it first, or .*--stop$/m);
      const starts = database.starts.length;

      const broken = database.acknowledged;
      const said = await host.mustLagan("restore", before, "--stop");
      const [, kept = ""] = /is kept as (data@[0-9a-f]{12})/.exec(said) ?? [];
      await eventually("the database runs again", () => database.starts.length > starts);
      const found = database.starts.at(-1) ?? -1;
      expect(found).toBeGreaterThanOrEqual(least);
      expect(found).toBeLessThanOrEqual(most);
      await database.writes(5);

      expect(countRecords(await readClone(host, kept, "broken"))).toBeGreaterThanOrEqual(broken);
      expect(countRecords(await readClone(host, before, "copy"))).toBe(found);
      await host.mustDocker("rm", "-f", "db");
      const now = countRecords(await readClone(host, "data", "now"));
      expect(now).toBeGreaterThanOrEqual(found + 5);
      // Undone: what the restore replaced is there again.
      await host.mustLagan("restore", kept);
      expect(countRecords(await readClone(host, "data", "undone"))).toBeGreaterThanOrEqual(broken);
    });

    it("two lines of one volume live side by side", async () => {
      await using host = await Machine.create();
      await host.lagand.start({ config: POOLS[driver] });
      await host.engine.start();
      await loadBusybox(host);
      const run = (volume: string, script: string) =>
        host.mustDocker(
          ...["run", "--rm", "--network=none", "-v", `${volume}:/v`],
          ...["--volume-driver", "lagan", "busybox", "sh", "-c", script],
        );
      await run("data", "echo first >/v/file");
      await host.mustLagan("branch", "create", "data", "dev");
      expect(await run("data@dev", "cat /v/file; echo other >/v/file")).toBe("first");
      expect(await run("data", "cat /v/file")).toBe("first");
      expect(await run("data@dev", "cat /v/file")).toBe("other");
      const refused = await host.docker(
        "run",
        "--rm",
        "-v",
        "data@prod:/v",
        "--volume-driver",
        "lagan",
        "busybox",
        "true",
      );
      expect(refused.stderr).toContain("lagan branch create data prod");
      const branch = (from: string) =>
        host.docker(
          ...["volume", "create", "-d", "lagan", "-o", "branch=prod", "-o", `from=${from}`],
          "data@prod",
        );
      expect(await branch("data@absent")).toMatchObject({ code: 1 });
      expect(await branch("data@dev")).toMatchObject({ code: 0 });
      expect(await run("data@prod", "cat /v/file")).toBe("other");
      expect(await host.mustLagan("branch", "ls", "data")).toContain("data@prod");
      expect(await host.mustDocker("volume", "ls", "-q")).toContain("data@dev");
      await host.mustDocker("volume", "create", "-d", "lagan", "-o", "from=data@dev", "t2");
      expect(await run("t2", "cat /v/file")).toBe("other");
      const held = await host.lagan("volume", "rm", "data");
      expect(held.stderr).toContain("lagan branch rm data dev");
    });
  },
);
