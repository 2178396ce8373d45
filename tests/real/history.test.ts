import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { loadBusybox } from "./images.ts";
import { BTRFS_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";

/*
 * "I upgrade my database, it goes wrong, I want the data of an hour ago back, and I want to keep the broken state to look
 * at." The database numbers its records, gives each a checksum, syncs it, and only then says so.
 */

const TEST_MS = 300_000;

/** Adds records to /v/log for ever: `N CHECKSUM`; says `start N` first (N: the last one it finds), then each N once it is synced. */
const DATABASE = `
n=$(tail -n 1 /v/log 2>/dev/null | cut -d ' ' -f 1)
n=\${n:-0}
echo "start $n" >>/said/log
while :; do
  n=$((n+1))
  set -- $(echo -n "record $n" | md5sum)
  echo "$n $1" | dd of=/v/log oflag=append conv=notrunc,fsync 2>/dev/null || exit 1
  echo $n >>/said/log
done`;

const POOLS = {
  btrfs: BTRFS_POOL,
  loop: "pools:\n  default:\n    driver: loop\n    size: 64M\n",
  directory: "pools:\n  default:\n    driver: directory\n",
  overlay: "pools:\n  default:\n    driver: overlay\n",
} as const;

/** A machine whose container `db` writes records into the volume `data`. */
class Database {
  readonly host: Machine;
  readonly #said: string;

  private constructor(host: Machine) {
    this.host = host;
    this.#said = host.path("said");
  }

  static async begin(host: Machine, volume = "data", name = "db"): Promise<Database> {
    const database = new Database(host);
    mkdirSync(database.#said, { recursive: true });
    await host.mustDocker(
      ...["run", "-d", "--network=none", "--stop-signal=KILL", "--name", name],
      ...["-v", `${volume}:/v`, "-v", `${database.#said}:/said`],
      ...["--volume-driver", "lagan", "busybox", "sh", "-c", DATABASE],
    );
    return database;
  }

  #lines(): readonly string[] {
    try {
      return readFileSync(`${this.#said}/log`, "utf8").split("\n").slice(0, -1);
    } catch {
      return [];
    }
  }

  /** What it found at each of its starts. */
  get starts(): readonly number[] {
    return this.#lines().flatMap((line) => {
      const [, found] = /^start (\d+)$/.exec(line) ?? [];
      return found === undefined ? [] : [Number(found)];
    });
  }

  /** The newest record that is acknowledged. */
  get acknowledged(): number {
    const last = this.#lines().at(-1) ?? "0";
    return Number(last.replace("start ", ""));
  }

  async writes(more: number): Promise<void> {
    const before = this.acknowledged;
    await eventually("records are written", () => this.acknowledged >= before + more);
  }
}

/** The number of records in a log that is whole: from the first to the last, each with its checksum. */
function countRecords(log: string): number {
  const lines = log.split("\n");
  // The last may have been under way.
  const whole = lines.slice(0, -1);
  for (const [index, line] of whole.entries()) {
    const sum = createHash("md5")
      .update(`record ${index + 1}`)
      .digest("hex");
    expect(line).toBe(`${index + 1} ${sum}`);
  }
  return whole.length;
}

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
      expect(await host.mustDocker("volume", "ls", "-q")).toContain("data@dev");
      await host.mustDocker("volume", "create", "-d", "lagan", "-o", "from=data@dev", "t2");
      expect(await run("t2", "cat /v/file")).toBe("other");
      const held = await host.lagan("volume", "rm", "data");
      expect(held.stderr).toContain("lagan branch rm data dev");
    });
  },
);
