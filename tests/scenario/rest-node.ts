import { parsePoolName } from "../../src/core/name.ts";
import type { Engine } from "../../src/core/ports/engine.ts";
import type { Log } from "../../src/core/ports/log.ts";
import type { Store } from "../../src/core/ports/store.ts";
import { MemoryDriver, MemoryStorage } from "../../src/drivers/memory/driver.ts";
import { buildNode, type Node } from "../../src/services/node.ts";
import { SimMachine } from "../../src/sim/machine.ts";
import { SimStore } from "../../src/sim/store.ts";

/** A line of the daemon's log. */
export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A whole node on memory parts, for what stands in front of the services. */
export interface MemoryNode {
  readonly node: Node;
  readonly store: SimStore;
  readonly machine: SimMachine;
  /** By pool: a test fills volumes through it, or breaks the pool. */
  readonly storages: ReadonlyMap<string, MemoryStorage>;
  readonly engines: Engine[];
  readonly lines: LogLine[];
  readonly log: Log;
}

/** A started node with pools `default` (limits volumes) and `bulk`. */
export async function memoryNode(
  options: { readonly trashKeepMs?: number | null; readonly store?: Store } = {},
): Promise<MemoryNode> {
  const machine = new SimMachine({ seed: 1 });
  const { clock, random, kernel, files } = machine.start();
  const store = new SimStore(machine.clock);
  const storages = new Map(["default", "bulk"].map((name) => [name, new MemoryStorage()]));
  const engines: Engine[] = [];
  const lines: LogLine[] = [];
  const write =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      lines.push({ level, message, fields });
    };
  const log = {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
  const node = buildNode(
    {
      ...{ store: options.store ?? store, runtime: new SimStore(machine.clock) },
      ...{ kernel, files, engines, clock, random, log },
      maker: {
        choose: async () => ({ driver: "memory", options: {}, why: "it is a test" }),
        build: ({ name }) => new MemoryDriver(storages.get(name)),
      },
    },
    {
      pools: [...storages.keys()].map((name) => ({
        name: parsePoolName(name),
        driver: "auto",
        options: {},
      })),
      defaultPool: parsePoolName("default"),
      profiles: new Map(),
      mountsDirectory: "/run/lagan/mounts",
      trashKeepMs: options.trashKeepMs === undefined ? 86_400_000 : options.trashKeepMs,
    },
  );
  await node.start(new AbortController().signal);
  return { node, store, machine, storages, engines, lines, log };
}
