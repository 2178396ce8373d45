import type { Snapshots } from "../conformance/snapshots-client.ts";
import { eventually } from "../real/command.ts";
import type { Machine } from "../real/machine.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";
import { push, type Samples, turn } from "./turn.ts";

/** Files of the layers that are removed. */
const SIZES = [10, 1_000, 100_000];
/** Cycles of Prepare and Remove while such a layer's content goes. */
const BESIDE = 30;

/** Remove of layers of many sizes, and of empty ones while their content goes in the background. */
export async function benchRemoval(
  machine: Machine,
  clients: Readonly<Record<string, Snapshots>>,
  rounds: number,
): Promise<Table> {
  const samples: Samples = {};
  for (let round = 0; round < rounds; round++) {
    for (const files of SIZES) {
      for (const [side, client] of turn(Object.entries(clients), round)) {
        await remove(machine, client, files, (what, ms) =>
          push(samples, `${what} ${files} ${side}`, ms),
        );
      }
    }
  }
  const rows = Object.keys(clients).flatMap((side) =>
    SIZES.flatMap((files): readonly Figure[] => [
      figure(samples, `itself ${files} ${side}`, `${side}: Remove of a layer of ${files} files`),
      figure(samples, `beside ${files} ${side}`, `${side}: Remove of an empty one right after it`),
    ]),
  );
  const [least = 0, ...more] = SIZES.map((files) =>
    quantile([...all(samples, `itself ${files}`), ...all(samples, `beside ${files}`)], 0.99),
  );
  return {
    title: `Remove by the size of the layer on ext4, ${rounds} rounds`,
    rows: [
      ...rows,
      {
        ...{ what: `lagan: p99 with ${SIZES.at(-1)} files / with ${SIZES[0]}`, unit: "ratio" },
        ...{ value: (more.at(-1) ?? Number.NaN) / least, target: { atMost: 2 } },
        note: "of the layer itself, and of the empty ones",
      },
    ],
  };
}

async function remove(
  machine: Machine,
  client: Snapshots,
  files: number,
  tell: (what: string, ms: number) => void,
): Promise<void> {
  const [mount] = await client.prepare("filling");
  const source = mount?.source ?? "";
  await machine.must("sh", "-ec", `cd "$1"; seq ${files} | split -l 1 -a 6 -d - f`, "sh", source);
  await client.commit("filled", "filling");
  tell("itself", await elapsed(() => client.remove("filled")));
  for (let n = 0; n < BESIDE; n++) {
    await client.prepare("beside");
    tell("beside", await elapsed(() => client.remove("beside")));
  }
  await eventually(
    "the content is gone",
    async () => (await machine.run(["test", "!", "-e", source])).code === 0,
    { timeoutMs: 120_000 },
  );
}

function all(samples: Samples, what: string): readonly number[] {
  return samples[`${what} lagan`] ?? [];
}

function figure(samples: Samples, name: string, what: string): Figure {
  const given = samples[name] ?? [];
  const worst = quantile(given, 0.99).toFixed(2);
  return { what: `${what}, p50`, value: median(given), unit: "ms", note: `p99 ${worst} ms` };
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
