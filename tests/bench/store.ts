/**
 * How long the embedded store takes: `node tests/bench/store.ts [DIRECTORY]`. The directory's file system decides:
 * the same directory is measured with an fsync of its own, which no durable transaction can beat.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";
import { HandClock } from "../conformance/hand-clock.ts";

/** About a volume's record. */
const VALUE = "x".repeat(1_000);
const WARM_UP = 200;

/** Runs `call` `count` times by `callers` at once, after a warm-up. */
async function measure(
  what: string,
  callers: number,
  count: number,
  call: (n: number) => Promise<unknown>,
): Promise<void> {
  const run = async (total: number): Promise<number[]> => {
    const tookMs: number[] = [];
    let next = 0;
    const caller = async (): Promise<void> => {
      for (let n = next++; n < total; n = next++) {
        const before = performance.now();
        await call(n);
        tookMs.push(performance.now() - before);
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return tookMs;
  };
  await run(WARM_UP);
  const before = performance.now();
  const tookMs = (await run(count)).sort((a, b) => a - b);
  const perSecond = (count / (performance.now() - before)) * 1_000;
  const us = (part: number): string =>
    `${Math.round((tookMs[Math.floor(count * part)] ?? 0) * 1_000)}`.padStart(7);
  console.log(
    `${what.padEnd(24)} ${`${callers}`.padStart(3)} callers  p50 ${us(0.5)} us  p99 ${us(0.99)} us  ${perSecond.toFixed(0).padStart(7)}/s`,
  );
}

const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), "lagan-bench-"));
try {
  const file = openSync(join(directory, "plain"), "w");
  await measure("append 16 KiB + fdatasync", 1, 1_000, async () => {
    writeSync(file, Buffer.alloc(16_384));
    fdatasyncSync(file);
  });
  closeSync(file);
  for (const durability of ["power-cut", "process"] as const) {
    const path = join(directory, `${durability}.db`);
    const store = await SqliteStore.open({ path, clock: new HandClock(), durability });
    const put = (n: number): Promise<unknown> =>
      store.txn([], [{ do: "put", key: `volume/${n % 1_000}`, value: VALUE }]);
    await measure(`txn, ${durability}`, 1, 3_000, put);
    await measure(`txn, ${durability}`, 64, 20_000, put);
    await measure(`get, ${durability}`, 1, 20_000, (n) => store.get(`volume/${n % 1_000}`));
    await measure(`get, ${durability}`, 64, 50_000, (n) => store.get(`volume/${n % 1_000}`));
    await measure(`list of 1,000, ${durability}`, 1, 100, () => store.list("volume/"));
    await store.close();
  }
} finally {
  rmSync(directory, { recursive: true });
}
