import { Gauge, type Registry } from "prom-client";
import type { PoolStatus } from "../../services/pools.ts";
import type { Services } from "../../services/services.ts";

/** Adds what the node holds, read when somebody scrapes. */
export function addNodeMetrics(
  registry: Registry,
  services: Services,
  version: string,
  signal: AbortSignal,
): void {
  const registers = [registry];
  new Gauge({
    name: "lagan_build_info",
    help: "The daemon's version, as a label.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
  new Gauge({
    name: "lagan_volumes",
    help: "Volumes by state and pool.",
    labelNames: ["state", "pool"],
    registers,
    async collect(): Promise<void> {
      const [ready, trashed] = await Promise.all([services.volumes.list(), services.trash.list()]);
      this.reset();
      for (const pool of services.pools.names()) {
        this.set({ state: "ready", pool }, 0);
        this.set({ state: "trashed", pool }, 0);
      }
      for (const { value } of ready) this.inc({ state: "ready", pool: value.spec.pool });
      for (const { value } of trashed) this.inc({ state: "trashed", pool: value.spec.pool });
    },
  });
  new Gauge({
    name: "lagan_operations_running",
    help: "Operations that have not finished.",
    registers,
    async collect(): Promise<void> {
      const operations = await services.operations.list();
      this.set(operations.filter(({ status }) => status.state === "running").length);
    },
  });
  addPoolMetrics(registry, services, signal);
}

function addPoolMetrics(registry: Registry, services: Services, signal: AbortSignal): void {
  const { pools } = services;
  const look = shared(() => Promise.all(pools.names().map((name) => pools.status(name, signal))));
  const gauge = (
    name: string,
    help: string,
    figure: (status: PoolStatus) => number | undefined,
  ): void => {
    new Gauge({
      ...{ name, help, labelNames: ["pool"], registers: [registry] },
      async collect(): Promise<void> {
        const statuses = await look();
        this.reset();
        for (const status of statuses) {
          const value = figure(status);
          if (value !== undefined) this.set({ pool: status.pool.name }, value);
        }
      },
    });
  };
  gauge(
    "lagan_pool_healthy",
    "1: the pool serves. 0.5: it serves, and a person should look. 0: it is faulted.",
    ({ health }) => ({ up: 1, warning: 0.5, faulted: 0 })[health.state],
  );
  gauge(
    "lagan_pool_total_bytes",
    "Room of the file system under the pool. Absent while the pool is faulted.",
    ({ space }) => space?.totalBytes,
  );
  gauge(
    "lagan_pool_available_bytes",
    "What is left of it. Absent while the pool is faulted.",
    ({ space }) => space?.availableBytes,
  );
}

/** `work`, done once for all who ask while it is under way: the gauges of one scrape. */
function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= work().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}
