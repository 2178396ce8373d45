import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { eventually } from "./command.ts";
import type { Machine } from "./machine.ts";

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

/** A machine whose container `db` writes records into the volume `data`. */
export class Database {
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
export function countRecords(log: string): number {
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
