import { setTimeout as sleep } from "node:timers/promises";
import { BenchHost } from "./bench-host.ts";
import { quantile, type Table } from "./figure.ts";

const VOLUMES = 100;
const CONNECTIONS = 8;
const PROBE_EVERY_MS = 5;
const IDLE_MS = 15_000;

/**
 * Resident memory before and after many Mounts and Unmounts, and how long an answer that needs nothing but the
 * event loop takes meanwhile. `operations`: how many calls, after as many again that only warm up.
 */
export async function benchMemory(operations: number): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs");
  await host.startLagand();
  await host.fill(VOLUMES);
  await sleep(IDLE_MS);
  const idle = host.residentMb();
  // The code is compiled and the heap has found its size: from here on it is to grow no more.
  await load(host, Math.min(operations, 20_000));
  await sleep(IDLE_MS);
  const warm = host.residentMb();
  const begin = performance.now();
  const lags = await load(host, operations);
  const perSecond = (operations / (performance.now() - begin)) * 1_000;
  await sleep(IDLE_MS);
  const after = host.residentMb();
  return [
    {
      title: `memory and event loop, ${operations.toLocaleString("en")} Mounts and Unmounts, ${CONNECTIONS} at once`,
      rows: [
        { what: "resident memory, idle", value: idle, unit: "MB", target: { atMost: 120 } },
        { what: "resident memory, warmed up", value: warm, unit: "MB" },
        { what: "resident memory after the operations", value: after, unit: "MB" },
        { what: "after / warmed up", value: after / warm, unit: "ratio", target: { atMost: 1.1 } },
        { what: "after / idle", value: after / idle, unit: "ratio" },
        { what: "operations a second", value: perSecond, unit: "/s" },
        {
          what: "an answer that waits for the event loop alone, p99",
          value: quantile(lags, 0.99),
          unit: "ms",
        },
        { what: "the same, worst", value: Math.max(...lags), unit: "ms" },
      ],
    },
  ];
}

/** Makes the calls; resolves to how long the probes took meanwhile, in milliseconds. */
async function load(host: BenchHost, operations: number): Promise<readonly number[]> {
  let left = operations / 2;
  const work = async (_: unknown, worker: number): Promise<void> => {
    const client = await host.connect();
    while (left-- > 0) {
      const request = { Name: host.anyVolume(), ID: `worker-${worker}` };
      await client.call("Mount", request);
      await client.call("Unmount", request);
    }
    client.close();
  };
  const workers = Promise.all(Array.from({ length: CONNECTIONS }).map(work));
  const lags: number[] = [];
  const probe = await host.connect();
  while (left > 0) {
    const begin = performance.now();
    await probe.call("Capabilities", {});
    lags.push(performance.now() - begin);
    await sleep(PROBE_EVERY_MS);
  }
  probe.close();
  await workers;
  return lags;
}
