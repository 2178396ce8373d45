import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ServiceError, status } from "@grpc/grpc-js";
import { Snapshots } from "../conformance/snapshots-client.ts";
import { Background } from "../real/background.ts";
import { eventually } from "../real/command.ts";
import { Machine } from "../real/machine.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";
import { benchRemoval } from "./snapshotter-removal.ts";
import { push, type Samples, turn } from "./turn.ts";

const run = promisify(execFile);
const GO = "/usr/local/go/bin/go";
const SUITE = join(import.meta.dirname, "../real/snapshotter-suite");
/** Cycles of one client in a round, and how deep the chain is on which they work. */
const CYCLES = 100;
const DEPTH = 10;
const CLIENTS = 8;
/** Most rounds of removals: a hundred thousand files are made and removed in each. */
const REMOVALS = 10;

/** The calls themselves: containerd's overlayfs snapshotter, served by Go over a socket, and our door. */
export async function benchCalls(rounds: number): Promise<readonly Table[]> {
  await using machine = await Machine.create();
  const disk = await machine.mountDisk("disk");
  const server = machine.path("serve");
  await run(GO, ["-C", SUITE, "build", "-o", server, "./serve"], { env: process.env });
  await machine.lagand.start({
    config: "pools:\n  default: { driver: overlay }\n",
    args: ["--state-dir", join(disk, "state")],
  });
  const socket = machine.path("go.sock");
  new Background(machine.namespace.enter([server, join(disk, "go"), socket]), {
    ...{ env: machine.namespace.env, logFile: machine.path("go.log") },
  });
  const doors = { lagan: machine.path("run/snapshots.sock"), overlayfs: socket };
  const clients = Object.fromEntries(
    Object.entries(doors).map(([side, path]) => [
      side,
      Array.from({ length: CLIENTS }, () => new Snapshots(path)),
    ]),
  );
  const samples: Samples = {};
  for (const [side, [client]] of Object.entries(clients)) {
    if (client === undefined) continue;
    await eventually(`${side} answers`, () =>
      client.prepare("hello").then(
        () => true,
        ({ code }: ServiceError) => code === status.ALREADY_EXISTS,
      ),
    );
    await chain(client);
    await cycles(client, `${side} warm`, CYCLES, {}, side);
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of turn(["lagan", "overlayfs"], round)) {
      const [first, ...others] = clients[side] ?? [];
      if (first === undefined) continue;
      await cycles(first, `${side} ${round}`, CYCLES, samples, side);
      const begin = performance.now();
      await Promise.all(
        [first, ...others].map((client, n) =>
          cycles(client, `${side} ${round} ${n}`, CYCLES / 4, {}, side),
        ),
      );
      push(
        samples,
        `cycles ${side}`,
        (CLIENTS * CYCLES) / 4 / ((performance.now() - begin) / 1_000),
      );
      await rested(machine, join(disk, "state/pools/default/tmp"));
    }
  }
  const first = Object.fromEntries(
    Object.entries(clients).flatMap(([side, [client]]) =>
      client === undefined ? [] : [[side, client] as const],
    ),
  );
  const removal = await benchRemoval(machine, first, Math.min(rounds, REMOVALS));
  for (const client of Object.values(clients).flat()) client.close();
  const table = {
    title: `containerd's calls on ext4, a chain of ${DEPTH}, ${rounds} rounds of ${CYCLES} cycles`,
    rows: callRows(samples),
  };
  return [table, removal];
}

/** Waits until lagan has removed what it was let go of, which is not the other side's to bear. */
async function rested(machine: Machine, removed: string): Promise<void> {
  await machine.must("sleep", "0.5");
  await eventually(
    "the content is gone",
    async () => (await machine.must("ls", "-A", removed)) === "",
    { timeoutMs: 60_000 },
  );
}

function callRows(samples: Samples): readonly Figure[] {
  const rows: Figure[] = [];
  for (const call of ["prepare", "mounts", "commit", "remove"]) {
    for (const [share, name, bar] of [
      [0.5, "p50", 1.25],
      [0.99, "p99", 2],
    ] as const) {
      const [ours, theirs] = ["lagan", "overlayfs"].map((side) =>
        quantile(samples[`${call} ${side}`] ?? [], share),
      );
      const barred = call === "prepare" || call === "commit";
      rows.push({
        ...{
          what: `${call} ${name}: lagan / overlayfs`,
          value: (ours ?? 0) / (theirs ?? 1),
          unit: "ratio",
        },
        ...(barred && { target: { atMost: bar } }),
        note: `${ours?.toFixed(2)} and ${theirs?.toFixed(2)} ms`,
      });
    }
  }
  const [ours, theirs] = ["lagan", "overlayfs"].map((side) =>
    median(samples[`cycles ${side}`] ?? []),
  );
  rows.push({
    ...{
      what: `${CLIENTS} clients, cycles a second: lagan / overlayfs`,
      unit: "ratio",
      target: { atLeast: 1.3 },
    },
    value: (ours ?? 0) / (theirs ?? 1),
    note: `${ours?.toFixed(0)} and ${theirs?.toFixed(0)}`,
  });
  return rows;
}

async function chain(client: Snapshots): Promise<void> {
  for (let n = 0; n < DEPTH; n++) {
    await client.prepare(`base-${n}-active`, n === 0 ? "" : `base-${n - 1}`);
    await client.commit(`base-${n}`, `base-${n}-active`);
  }
}

async function cycles(
  client: Snapshots,
  name: string,
  count: number,
  samples: Samples,
  side: string,
): Promise<void> {
  const timed = async (call: string, work: () => Promise<unknown>): Promise<void> => {
    const begin = performance.now();
    await work();
    push(samples, `${call} ${side}`, performance.now() - begin);
  };
  for (let n = 0; n < count; n++) {
    const key = `${name} ${n}`;
    await timed("prepare", () => client.prepare(key, `base-${DEPTH - 1}`));
    await timed("mounts", () => client.mounts(key));
    await timed("commit", () => client.commit(`${key} done`, key));
    await timed("remove", () => client.remove(`${key} done`));
  }
}
