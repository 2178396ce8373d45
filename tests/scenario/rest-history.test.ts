import type { FastifyInstance, InjectOptions } from "fastify";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { restApp } from "../../src/api/rest/server.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import { hostArchive } from "../../src/host/archive.ts";
import { hostCallerFiles } from "../../src/host/caller-files.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { OpenApi } from "./openapi.ts";
import { type MemoryNode, memoryNode } from "./rest-node.ts";

const signal = new AbortController().signal;
const data = parseVolumeName("data");

let memory: MemoryNode;
let app: FastifyInstance;
let api: OpenApi;

beforeEach(async () => {
  memory = await memoryNode();
  const { node, log } = memory;
  app = restApp({
    archive: hostArchive,
    callerFiles: hostCallerFiles,
    treeDiff: hostTreeDiff,
    services: node.services,
    version: "9.9.9",
    log,
    signal,
  });
  await app.ready();
  api = new OpenApi((await app.inject("/openapi.json")).json());
  await ask("POST", "/v1/volumes", { name: "data" });
});

afterEach(() => app.close());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  // biome-ignore lint/suspicious/noExplicitAny: held against the document by every `ask`.
  readonly body: any;
}

/** Asks, and holds the answer against the OpenAPI document. */
async function ask(
  method: NonNullable<InjectOptions["method"]>,
  url: string,
  payload?: object,
  more: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const headers = { "content-type": "application/json", ...more };
  const sent = payload === undefined ? {} : { payload: { ...payload } };
  const answer = await app.inject({ method, url, ...sent, headers });
  const type = String(answer.headers["content-type"]);
  api.check(method, url, answer.statusCode, type, answer.payload);
  return { status: answer.statusCode, headers: answer.headers, body: answer.json() };
}

async function write(line: string, sizeBytes: number): Promise<void> {
  const all = await memory.node.services.volumes.list();
  const head = all.find(({ value }) => value.name === line)?.value.head;
  memory.storages.get("default")?.write(`/memory/${head}`, "file", new Uint8Array(sizeBytes));
}

async function take(name: string, url = "data"): Promise<Answer["body"]> {
  await memory.machine.clock.advance(1_000);
  const { status, body } = await ask("POST", `/v1/volumes/${url}/snapshots`, {
    name,
    author: "ann",
  });
  expect(status).toBe(201);
  return body;
}

describe("snapshots", () => {
  it("are taken with a message, labels and an author, and shown by name and by digits", async () => {
    await write("data", 4096);
    const asked = { name: "before", message: "the upgrade", labels: { a: "b" }, author: "ann" };
    const taken = await ask("POST", "/v1/volumes/data/snapshots", asked);
    expect(taken).toMatchObject({
      status: 201,
      body: {
        ...{ ...asked, volume: "data", cause: "asked", consistency: "atomic", tip: true },
        ...{ containers: [], faults: [] },
      },
    });
    for (const at of ["before", taken.body.id, taken.body.uuid]) {
      const { body } = await ask("GET", `/v1/volumes/data/snapshots/${at}`);
      expect(body).toMatchObject({ id: taken.body.id, usedBytes: 4096, exclusiveBytes: 0 });
    }
    expect((await ask("GET", "/v1/volumes/data")).body.tip).toBe(taken.body.id);
  });

  it("are listed by volume and for all, a page at a time, and logged newest first", async () => {
    await ask("POST", "/v1/volumes", { name: "other" });
    for (const name of ["one", "two", "three"]) await take(name);
    await take("else", "other");
    const names = async (url: string) =>
      (await ask("GET", url)).body.items.map(({ name }: { name: string }) => name);
    expect(await names("/v1/volumes/data/snapshots")).toEqual(["one", "two", "three"]);
    expect(await names("/v1/snapshots")).toEqual(["else", "three", "two", "one"]);
    const first = await ask("GET", "/v1/volumes/data/log?page_size=2");
    expect(first.body.items.map(({ name }: { name: string }) => name)).toEqual(["three", "two"]);
    const token = first.body.nextPageToken;
    expect(await names(`/v1/volumes/data/log?page_size=2&page_token=${token}`)).toEqual(["one"]);
  });

  it("are changed under If-Match, and protected by somebody", async () => {
    const { revision } = await take("before");
    const url = "/v1/volumes/data/snapshots/before";
    const changed = await ask(
      "PATCH",
      url,
      { protect: true, author: "ann" },
      { "if-match": `"${revision}"` },
    );
    expect(changed.body.protection).toMatchObject({ by: "ann" });
    const late = await ask("PATCH", url, { name: null }, { "if-match": `"${revision}"` });
    expect(late).toMatchObject({ status: 412, body: { code: "aborted" } });
    const refused = await ask("DELETE", url);
    expect(refused).toMatchObject({ status: 409, body: { code: "failed_precondition" } });
    expect(refused.body.detail).toContain("by ann");
    expect(await ask("PATCH", url, {})).toMatchObject({ status: 400 });
  });

  it("are removed into the trash, come back, and are emptied with it", async () => {
    const { id, uuid } = await take("before");
    const removed = await ask("DELETE", "/v1/volumes/data/snapshots/before");
    expect(removed.body).toMatchObject({ id });
    expect((await ask("GET", "/v1/trash-snapshots")).body.items).toMatchObject([{ id }]);
    const back = await ask("POST", `/v1/trash-snapshots/data@${id}/restore`);
    expect(back).toMatchObject({ status: 200, body: { id, name: "before" } });
    await ask("DELETE", "/v1/volumes/data/snapshots/before");
    expect((await ask("DELETE", `/v1/trash-snapshots/${uuid}`)).body).toMatchObject({ id });
    expect((await ask("DELETE", `/v1/trash-snapshots/${id}`)).status).toBe(404);
  });

  it("of several volumes are taken together", async () => {
    await ask("POST", "/v1/volumes", { name: "other" });
    const asked = { group: "night", volumes: ["data", "other"], message: "both" };
    const { status, body } = await ask("POST", "/v1/snapshot-groups", asked);
    expect([status, body.snapshots.length]).toEqual([201, 2]);
    expect(body.snapshots).toMatchObject([{ group: "night" }, { group: "night" }]);
  });

  it.each([
    ["GET", "/v1/volumes/data/snapshots/nope", undefined, 404, "not_found"],
    ["GET", "/v1/volumes/data/snapshots/abc", undefined, 400, "invalid_argument"],
    ["GET", "/v1/volumes/data%40a%40b/snapshots", undefined, 400, "invalid_argument"],
    ["GET", "/v1/volumes/data/snapshots/a%40b", undefined, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/snapshots", { name: "abcd" }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/snapshots", { message: "x".repeat(4097) }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/snapshots", { message: "a\u0007" }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/snapshots", { nam: "x" }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/snapshots", { quiet: "kill" }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/nope/snapshots", {}, 404, "not_found"],
    ["POST", "/v1/snapshot-groups", { group: "g", volumes: [] }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/restore", { snapshot: "" }, 400, "invalid_argument"],
    ["POST", "/v1/volumes/data/restore", { snapshot: "nope" }, 404, "not_found"],
    ["POST", "/v1/volumes/data/branches", { name: "beef" }, 400, "invalid_argument"],
    ["PATCH", "/v1/volumes/data", { sizeBytes: -1 }, 400, "invalid_argument"],
    ["PATCH", "/v1/volumes/data", { sizeBytes: 1, protect: true }, 400, "invalid_argument"],
    ["POST", "/v1/profiles", { name: "db", options: { from: "data" } }, 400, "invalid_argument"],
  ] as const)("%s %s %j is refused", async (method, url, body, status, code) => {
    const answer = await ask(method, url, body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect((await memory.node.services.history.listAll()).length).toBe(0);
  });
});

it("a restore brings back what was, and says what undoes it", async () => {
  await write("data", 4096);
  await take("before");
  await write("data", 8192);
  const { status, body } = await ask("POST", "/v1/volumes/data/restore", { snapshot: "before" });
  expect([status, body.volume.name, body.containers]).toEqual([200, "data", []]);
  expect((await ask("GET", "/v1/volumes/data/usage")).body.usedBytes).toBe(4096);
  const undo = await ask("POST", "/v1/volumes/data/restore", { snapshot: body.kept.id });
  expect(undo.status).toBe(200);
  expect((await ask("GET", "/v1/volumes/data/usage")).body.usedBytes).toBe(8192);
});

it("a clone starts from a snapshot, a branch stands beside its volume", async () => {
  await write("data", 4096);
  const { id } = await take("before");
  const clone = await ask("POST", "/v1/volumes", {
    name: "copy",
    options: { from: "data@before" },
  });
  expect(clone).toMatchObject({ status: 201, body: { from: id, branch: null } });
  await memory.machine.clock.advance(1_000);
  const made = await ask("POST", "/v1/volumes/data/branches", { name: "dev" });
  expect(made).toMatchObject({ status: 201, body: { name: "data@dev", branch: { name: "dev" } } });
  await take("mine", "data%40dev");
  expect((await ask("GET", "/v1/volumes/data/branches")).body.items).toMatchObject([
    { name: "data@dev" },
  ]);
  const { body } = await ask("GET", "/v1/volumes/data%40dev/log");
  expect(body.items.map(({ name }: { name: string }) => name)).toEqual(["mine", null, "before"]);
  expect((await ask("DELETE", "/v1/volumes/data")).status).toBe(409);
  expect((await ask("DELETE", "/v1/volumes/data%40dev")).status).toBe(200);
  expect((await ask("POST", "/v1/trash/data@dev/restore")).status).toBe(200);
});

it("a volume's limit is changed alone", async () => {
  await write("data", 8192);
  const url = "/v1/volumes/data";
  expect((await ask("PATCH", url, { sizeBytes: 1024 ** 2 })).body.sizeBytes).toBe(1024 ** 2);
  expect(await ask("PATCH", url, { sizeBytes: 4096 })).toMatchObject({ status: 409 });
  const { revision } = (await ask("GET", url)).body;
  const late = await ask(
    "PATCH",
    url,
    { sizeBytes: null },
    { "if-match": `"${Number(revision) + 1}"` },
  );
  expect(late.status).toBe(412);
  expect((await ask("PATCH", url, { sizeBytes: null })).body.sizeBytes).toBe(null);
});

it("a schedule and where it stands are shown", async () => {
  const changed = await ask("PATCH", "/v1/volumes/data", { schedule: "15m", keep: "daily=7" });
  expect(changed.body.schedule).toEqual({ every: "15m", keep: "daily=7" });
  await memory.node.services.schedules.tick(signal);
  const { body } = await ask("GET", "/v1/volumes/data");
  expect(body.scheduleStatus).toMatchObject({ kept: 1, lossWindowMs: 0, failing: null });
  expect((await ask("GET", "/v1/volumes")).body.items[0]).not.toHaveProperty("scheduleStatus");
});

it("profiles are made, shown as options, and removed", async () => {
  const options = { size: "10737418240", schedule: "15m", keep: "hourly=24", "label.a": "b" };
  const made = await ask("POST", "/v1/profiles", { name: "db", options });
  expect(made).toMatchObject({ status: 201, body: { name: "db", options } });
  expect((await ask("GET", "/v1/profiles")).body.items).toEqual([made.body]);
  expect((await ask("DELETE", "/v1/profiles/db")).status).toBe(200);
  expect((await ask("GET", "/v1/profiles/db")).status).toBe(404);
});

it("the accounts have volumes, their snapshots, and the trash", async () => {
  await write("data", 4096);
  const { uuid: id } = await take("before");
  await write("data", 8192);
  const { value } = await memory.node.services.volumes.get(data);
  expect((await ask("GET", "/v1/usage")).body.volumes).toEqual([
    {
      ...{ id: value.id, name: "data", trashed: false, sizeBytes: null },
      ...{ usedBytes: 8192, exclusiveBytes: 8192 },
      snapshots: [expect.objectContaining({ id, usedBytes: 4096, exclusiveBytes: 4096 })],
    },
  ]);
});
