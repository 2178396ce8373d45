import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { REQUEST_TIMEOUT_MS } from "../../src/api/rest/limits.ts";
import { restApp } from "../../src/api/rest/server.ts";
import { RequestMetrics } from "../../src/api/shared/request-metrics.ts";
import { hostArchive } from "../../src/host/archive.ts";
import { hostCallerFiles } from "../../src/host/caller-files.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { memoryNode } from "./rest-node.ts";

let directory: string;
let app: ReturnType<typeof restApp>;
let arrived: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lagan-late-"));
  const { node, log } = await memoryNode();
  const { signal } = new AbortController();
  const { services } = node;
  const metrics = new RequestMetrics();
  const parts = {
    archive: hostArchive,
    callerFiles: hostCallerFiles,
    treeDiff: hostTreeDiff,
    services,
    log,
    signal,
    metrics,
  };
  app = restApp({ ...parts, version: "1.2.3" });
  arrived = 0;
  app.addHook("onRequest", async () => {
    arrived++;
  });
  await app.listen({ path: join(directory, "sock") });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(async () => {
  vi.useRealTimers();
  await app.close();
  await rm(directory, { recursive: true, force: true });
});

const HEAD =
  "HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\ncontent-type: application/json\r\n\r\n{";

/** Sends the beginning of a request, and waits until it is there. */
async function begin(what: string) {
  const socket = connect(join(directory, "sock"));
  await once(socket, "connect");
  socket.write(`${what} ${HEAD}`);
  await vi.waitUntil(() => arrived > 0);
  return socket;
}

it("a request whose body never comes is told so and cut off", async () => {
  const socket = await begin("POST /v1/volumes");
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  vi.advanceTimersByTime(REQUEST_TIMEOUT_MS - 1);
  expect(socket.destroyed || text !== "").toBe(false);
  vi.advanceTimersByTime(1);
  await once(socket, "close");
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
  expect(text).toContain("it was not whole after 30 seconds");
});

it("an archive may come as slowly as it likes", async () => {
  const socket = await begin("POST /v1/volumes/copy/import");
  vi.advanceTimersByTime(REQUEST_TIMEOUT_MS * 10);
  await new Promise((resolve) => setImmediate(resolve));
  expect(socket.destroyed).toBe(false);
  socket.destroy();
});
