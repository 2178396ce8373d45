import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Line, startWorker } from "./line.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lagan-line-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

it("when the worker dies, every call rejects with unavailable, then and later", async () => {
  const path = join(directory, "lagan.db");
  const { worker } = await startWorker({ path, durability: "power-cut" });
  if (!(worker instanceof Worker)) throw new Error("the durable store has a thread of its own");
  const failures: string[] = [];
  const line = new Line(worker, path, {
    changed: () => {},
    failed: ({ code }) => failures.push(code),
  });
  const put = { do: "put", key: "a", value: "1" } as const;
  const calls = Array.from({ length: 300 }, () =>
    line.call({ do: "txn", compares: [], writes: [put] }),
  );
  const settled = Promise.allSettled(calls);
  await calls[0];
  await worker.terminate();
  const [first, ...others] = await settled;
  expect(first).toMatchObject({ status: "fulfilled" });
  expect(others.at(-1)).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
  await expect(line.call({ do: "get", key: "a" })).rejects.toMatchObject({ code: "unavailable" });
  expect(failures).toEqual(["unavailable"]);
  await line.close();

  const again = await startWorker({ path, durability: "power-cut" });
  expect(again.opened.revision).toBeGreaterThan(0);
  const next = new Line(again.worker, path, { changed: () => {}, failed: () => {} });
  await next.close();
});

it("calls beyond the limit are refused while the others wait", async () => {
  const path = join(directory, "lagan.db");
  const { worker } = await startWorker({ path, durability: "process" });
  const line = new Line(worker, path, { changed: () => {}, failed: () => {} });
  const calls = Array.from({ length: 10_001 }, () => line.call({ do: "get", key: "a" }));
  const last = calls.pop();
  await expect(last).rejects.toMatchObject({ code: "resource_exhausted" });
  expect(new Set(await Promise.all(calls))).toEqual(new Set([undefined]));
  await line.close();
});
