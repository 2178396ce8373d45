import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance, InjectOptions } from "fastify";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BODY_LIMIT_BYTES } from "../../src/api/rest/limits.ts";
import type { WirePage, WireVolume } from "../../src/api/rest/resource.ts";
import { restApp } from "../../src/api/rest/server.ts";
import { traceId } from "../../src/api/shared/trace.ts";
import { Failure } from "../../src/core/failure.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import type { Store } from "../../src/core/ports/store.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { hostArchive } from "../../src/host/archive.ts";
import { hostCallerFiles } from "../../src/host/caller-files.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { engineThat } from "../../src/sim/engine.ts";
import { SimStore } from "../../src/sim/store.ts";
import { OpenApi } from "./openapi.ts";
import { type MemoryNode, memoryNode } from "./rest-node.ts";

const signal = new AbortController().signal;

let memory: MemoryNode;
let app: FastifyInstance;
let api: OpenApi;
let directory: string;

async function start(options: Parameters<typeof memoryNode>[0] = {}): Promise<void> {
  await app?.close();
  memory = await memoryNode(options);
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
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lagan-rest-"));
  await start();
});

afterEach(async () => {
  await app.close();
  await rm(directory, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: held against the document by every `ask`.
  readonly body: any;
}

/** Asks, and holds the answer against the OpenAPI document. */
async function ask(
  method: NonNullable<InjectOptions["method"]>,
  url: string,
  payload?: object | string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const sent = payload === undefined ? {} : { payload };
  const typed = payload === undefined ? {} : { "content-type": "application/json" };
  const answer = await app.inject({ method, url, ...sent, headers: { ...typed, ...headers } });
  const type = String(answer.headers["content-type"]);
  if (method !== "HEAD") api.check(method, url, answer.statusCode, type, answer.payload);
  const body = /json/.test(type) && answer.payload !== "" ? answer.json() : undefined;
  return { status: answer.statusCode, headers: answer.headers, text: answer.payload, body };
}

async function create(name: string, more: object = {}): Promise<WireVolume> {
  const { status, body } = await ask("POST", "/v1/volumes", { name, ...more });
  expect(status).toBe(201);
  return body;
}

async function allNames(): Promise<readonly string[]> {
  const { body } = await ask("GET", "/v1/volumes?page_size=500");
  return body.items.map(({ name }: WireVolume) => name);
}

describe("volumes", () => {
  it("are made with options as Docker's -o takes them, and labels", async () => {
    const { status, body, headers } = await ask("POST", "/v1/volumes", {
      name: "data",
      options: { size: "10G", uid: "7", gid: "8", mode: "2770", protect: "true", "label.a": "1" },
      labels: { b: "2" },
    });
    expect(status).toBe(201);
    expect(headers["location"]).toBe("/v1/volumes/data");
    expect(headers["etag"]).toBe(`"${body.revision}"`);
    expect(body).toMatchObject({
      ...{ name: "data", pool: "default", driver: "memory", sizeBytes: 10 * 1024 ** 3 },
      ...{ usedBytes: null, usedAt: null, labels: { a: "1", b: "2" }, protected: true },
      options: { uid: 7, gid: 8, mode: "2770", profile: null },
      ...{ mounts: 0, health: { state: "ok" } },
    });
  });

  it("made again with the same options are the same, and answer 200", async () => {
    const first = await create("data", { options: { size: "1G" } });
    const again = await ask("POST", "/v1/volumes", { name: "data", options: { size: "1G" } });
    expect(again).toMatchObject({ status: 200, body: { id: first.id } });
  });

  it("made again with other options are refused, naming the difference", async () => {
    await create("data", { options: { size: "1G" } });
    const { status, body } = await ask("POST", "/v1/volumes", { name: "data" });
    expect(status).toBe(409);
    expect(body).toMatchObject({ code: "already_exists", title: "Already exists" });
    expect(body.detail).toContain("size: it has 1 GiB");
  });

  it("show what they hold after a measurement", async () => {
    await create("data");
    const { value } = await memory.node.services.volumes.get(parseVolumeName("data"));
    memory.storages.get("default")?.write(`/memory/${value.head}`, "file", new Uint8Array(5000));
    const usage = await ask("GET", "/v1/volumes/data/usage");
    expect(usage.body).toMatchObject({ usedBytes: 5000, exclusiveBytes: 5000, sizeBytes: null });
    const { body } = await ask("GET", "/v1/volumes/data");
    expect(body).toMatchObject({ usedBytes: 5000, usedAt: usage.body.measuredAt });
  });

  it("show mounts that engines announced", async () => {
    await create("data");
    const { volumes, mounts } = memory.node.services;
    await mounts.mount((await volumes.get(parseVolumeName("data"))).value, "some-id", signal);
    expect((await ask("GET", "/v1/volumes/data")).body.mounts).toBe(1);
    expect((await ask("GET", "/v1/volumes")).body.items[0].mounts).toBe(1);
  });

  it("of a faulted pool are listed all the same, and say why", async () => {
    await create("data");
    await create("fine", { options: { pool: "bulk" } });
    const storage = memory.storages.get("default");
    if (storage !== undefined) storage.fault = "its disk is gone";
    await memory.node.services.pools.refresh(signal);
    const { body } = await ask("GET", "/v1/volumes");
    expect(body.items.map(({ health }: WireVolume) => health.state)).toEqual(["faulted", "ok"]);
    expect(body.items[0].health.why).toContain("its disk is gone");
    expect((await ask("GET", "/v1/volumes/data/usage")).status).toBe(503);
    expect((await ask("GET", "/v1/pools/default")).body).toMatchObject({
      ...{ totalBytes: null, availableBytes: null, health: { state: "faulted" } },
    });
  });

  it("are listed by label and pool, all conditions at once", async () => {
    await create("aa", { labels: { team: "shop", tier: "1" } });
    await create("bb", { labels: { team: "shop" }, options: { pool: "bulk" } });
    await create("cc", { labels: { team: "ops=x" } });
    const listed = async (query: string): Promise<readonly string[]> => {
      const { body } = await ask("GET", `/v1/volumes?${query}`);
      return body.items.map(({ name }: WireVolume) => name);
    };
    expect(await listed("label=team")).toEqual(["aa", "bb", "cc"]);
    expect(await listed("label=team=shop")).toEqual(["aa", "bb"]);
    expect(await listed("label=team=ops%3Dx")).toEqual(["cc"]);
    expect(await listed("label=team=shop&label=tier=1")).toEqual(["aa"]);
    expect(await listed("label=team=shop&pool=bulk")).toEqual(["bb"]);
    expect(await listed("label=toString")).toEqual([]);
  });

  it("that nobody uses are found by asking mounts and engines, and an engine that is silent is no answer", async () => {
    await create("held");
    await create("mounted");
    await create("free");
    const { volumes, mounts } = memory.node.services;
    await mounts.mount((await volumes.get(parseVolumeName("mounted"))).value, "id", signal);
    const container = { id: "f".repeat(64), name: "web", running: false };
    const engine = engineThat({
      listContainers: async (name) => (name === "held" ? [container] : []),
    });
    memory.engines.push(engine);
    const { body } = await ask("GET", "/v1/volumes?unused=true");
    expect(body.items.map(({ name }: WireVolume) => name)).toEqual(["free"]);
    const used = await ask("GET", "/v1/volumes?unused=false");
    expect(used.body.items.map(({ name }: WireVolume) => name)).toEqual(["held", "mounted"]);
    memory.engines.push(
      engineThat({
        listContainers: () => Promise.reject(new Failure("unavailable", "silent")),
      }),
    );
    const unknown = await ask("GET", "/v1/volumes?unused=true");
    expect(unknown).toMatchObject({ status: 503, body: { code: "unavailable" } });
  });

  it("are listed in pages, none twice and none missing, also while others come and go", async () => {
    const names = Array.from({ length: 1200 }, (_, index) => `v${String(index).padStart(4, "0")}`);
    const { volumes } = memory.node.services;
    for (const name of names) {
      await volumes.create(parseVolumeName(name), parseVolumeOptions({}), signal);
    }
    const seen: string[] = [];
    let token: string | null = null;
    let pages = 0;
    do {
      const next: string = token === null ? "" : `&page_token=${token}`;
      const { body }: { body: WirePage<WireVolume> } = await ask(
        "GET",
        `/v1/volumes?page_size=250${next}`,
      );
      seen.push(...body.items.map(({ name }) => name));
      token = body.nextPageToken;
      if (pages++ === 1) {
        // The last one seen goes, one before it comes, one after it comes.
        await ask("DELETE", `/v1/volumes/${seen.at(-1)}`);
        await create("v0000a");
        await create("v0999a");
      }
    } while (token !== null);
    expect(pages).toBe(5);
    expect(seen).toEqual([...names, "v0999a"].sort());
  });

  it("are listed by one read of records, however many pages there are, and whatever this daemon changes", async () => {
    const calls: string[] = [];
    await start({ store: counting(new SimStore(new SimClock()), calls) });
    for (const name of ["aa", "bb", "cc"]) await create(name);
    const { body } = await ask("GET", "/v1/volumes?page_size=2");
    const rest = await ask("GET", `/v1/volumes?page_token=${body.nextPageToken}`);
    expect(rest.body.items).toHaveLength(1);
    await ask("DELETE", "/v1/volumes/bb");
    expect(await allNames()).toEqual(["aa", "cc"]);
    await create("dd");
    expect(await allNames()).toEqual(["aa", "cc", "dd"]);
    expect(calls.filter((call) => call === "list volumes/")).toHaveLength(1);
  });
});

describe("changing a volume", () => {
  it("adds, replaces and drops labels, protects, renames; the ETag changes", async () => {
    const made = await create("data", { labels: { a: "1", b: "2" } });
    const changed = await ask(
      "PATCH",
      "/v1/volumes/data",
      { labels: { a: null, b: "3", c: "4" }, protect: true, name: "other" },
      { "if-match": `"${made.revision}"` },
    );
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({
      ...{ id: made.id, name: "other", labels: { b: "3", c: "4" }, protected: true },
    });
    expect(changed.headers["etag"]).not.toBe(`"${made.revision}"`);
    expect(await allNames()).toEqual(["other"]);
  });

  it("with an ETag of the past is refused with 412, whoever changes or removes", async () => {
    const made = await create("data");
    await ask("PATCH", "/v1/volumes/data", { labels: { a: "1" } });
    const old = { "if-match": `"${made.revision}"` };
    const changed = await ask("PATCH", "/v1/volumes/data", { protect: true }, old);
    expect(changed).toMatchObject({ status: 412, body: { code: "aborted", status: 412 } });
    expect((await ask("DELETE", "/v1/volumes/data", undefined, old)).status).toBe(412);
    const { body } = await ask("GET", "/v1/volumes/data");
    expect(body).toMatchObject({ protected: false, labels: { a: "1" } });
    const star = await ask("PATCH", "/v1/volumes/data", { protect: true }, { "if-match": "*" });
    expect(star.status).toBe(200);
  });

  it("of two at once with one ETag lets one through", async () => {
    const { revision } = await create("data");
    const change = (value: string): Promise<Answer> =>
      ask("PATCH", "/v1/volumes/data", { labels: { value } }, { "if-match": `"${revision}"` });
    const answers = await Promise.all([change("a"), change("b")]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412]);
  });

  it("to a name that is taken, or of a volume in use, is refused and changes nothing", async () => {
    await create("data");
    await create("other");
    const taken = await ask("PATCH", "/v1/volumes/data", { name: "other", labels: { a: "1" } });
    expect(taken).toMatchObject({ status: 409, body: { code: "already_exists" } });
    expect((await ask("GET", "/v1/volumes/data")).body.labels).toEqual({});
  });

  it("cannot give it more labels than a volume may have", async () => {
    const labels = (from: number): object =>
      Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`k${from + index}`, "v"]));
    await create("data", { labels: labels(0) });
    const answer = await ask("PATCH", "/v1/volumes/data", { labels: labels(40) });
    expect(answer).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    expect(Object.keys((await ask("GET", "/v1/volumes/data")).body.labels)).toHaveLength(40);
  });
});

describe("the trash", () => {
  it("takes a removed volume, which comes back by name, id or the beginning of it", async () => {
    const { id } = await create("data", { options: { size: "1G" } });
    const removed = await ask("DELETE", "/v1/volumes/data");
    expect(removed.body).toMatchObject({ id, name: "data", restorable: true });
    expect(Date.parse(removed.body.expiresAt) - Date.parse(removed.body.trashedAt)).toBe(
      86_400_000,
    );
    expect((await ask("GET", "/v1/volumes/data")).status).toBe(404);
    expect((await ask("GET", "/v1/trash")).body.items).toHaveLength(1);
    expect((await ask("GET", "/v1/trash/data")).body.id).toBe(id);
    expect((await ask("GET", `/v1/trash/${id}/usage`)).body.usedBytes).toBe(0);
    const back = await ask("POST", `/v1/trash/${id.slice(0, 13)}/restore`);
    expect(back).toMatchObject({ status: 200, body: { id, name: "data" } });
    await ask("DELETE", "/v1/volumes/data");
    await create("data");
    const taken = await ask("POST", `/v1/trash/${id}/restore`, {});
    expect(taken).toMatchObject({ status: 409, body: { code: "already_exists" } });
    const renamed = await ask("POST", "/v1/trash/data/restore", { name: "data-old" });
    expect(renamed.body).toMatchObject({ id, name: "data-old", sizeBytes: 1024 ** 3 });
  });

  it("is listed in pages, the one removed last first", async () => {
    for (const name of ["aa", "bb", "cc"]) {
      await create(name);
      await ask("DELETE", `/v1/volumes/${name}`);
      memory.machine.clock.jump(1000);
    }
    const first = await ask("GET", "/v1/trash?page_size=2");
    expect(first.body.items.map(({ name }: WireVolume) => name)).toEqual(["cc", "bb"]);
    const rest = await ask("GET", `/v1/trash?page_token=${first.body.nextPageToken}`);
    expect(rest.body.items.map(({ name }: WireVolume) => name)).toEqual(["aa"]);
    expect(rest.body.nextPageToken).toBeNull();
  });

  it("is emptied one by one or at once; what cannot go stays and says why", async () => {
    for (const name of ["aa", "bb"]) await create(name);
    await create("sick", { options: { pool: "bulk" } });
    for (const name of ["aa", "bb", "sick"]) await ask("DELETE", `/v1/volumes/${name}`);
    expect((await ask("DELETE", "/v1/trash/aa")).body.name).toBe("aa");
    const bulk = memory.storages.get("bulk");
    if (bulk !== undefined) bulk.fault = "its disk is gone";
    const emptied = await ask("DELETE", "/v1/trash");
    expect(emptied.body.removed.map(({ name }: WireVolume) => name)).toEqual(["bb"]);
    expect(emptied.body.failed).toHaveLength(1);
    expect(emptied.body.failed[0].why).toContain("its disk is gone");
  });

  it("turned off means that a removed volume is gone, and the answer says so", async () => {
    await start({ trashKeepMs: 0 });
    await create("data");
    expect((await ask("DELETE", "/v1/volumes/data")).body.restorable).toBe(false);
    expect((await ask("GET", "/v1/trash")).body.items).toEqual([]);
  });

  it("does not take a protected volume", async () => {
    await create("data", { options: { protect: "true" } });
    const { status, body } = await ask("DELETE", "/v1/volumes/data");
    expect(status).toBe(409);
    expect(body.detail).toContain("first: lagan volume set data --protect=false");
  });
});

describe("the node", () => {
  it("shows pools, operations, status, and what the doctor finds", async () => {
    const { id } = await create("data");
    const pools = await ask("GET", "/v1/pools");
    expect(pools.body.items.map((pool: { name: string }) => pool.name)).toEqual([
      "bulk",
      "default",
    ]);
    expect((await ask("GET", "/v1/pools/default")).body.traits.sizeLimit).toBe("EDQUOT");
    const [operation] = (await ask("GET", "/v1/operations")).body.items;
    expect(operation).toMatchObject({ verb: "volume.create", volumeId: id, state: "done" });
    expect((await ask("GET", `/v1/operations/${operation.id}`)).body).toEqual(operation);
    const status = await ask("GET", "/v1/status");
    expect(status.body).toMatchObject({ version: "9.9.9", volumes: 1, trashed: 0 });
    const { findings } = (await ask("GET", "/v1/doctor")).body;
    expect(findings.map((finding: { level: string }) => finding.level)).not.toContain("error");
  });

  it("is well while its store answers", async () => {
    expect(await ask("GET", "/healthz")).toMatchObject({ status: 200, body: { status: "ok" } });
    await memory.store.close();
    expect(await ask("GET", "/healthz")).toMatchObject({
      ...{ status: 503, body: { code: "unavailable" } },
    });
  });

  it("counts requests by route, never by name, and volumes by state and pool", async () => {
    await create("data");
    await create("gone");
    await ask("DELETE", "/v1/volumes/gone");
    await ask("GET", "/v1/volumes/nobody");
    await ask("GET", "/some/path");
    const { text } = await ask("GET", "/metrics");
    for (const line of [
      'lagan_http_requests_total{door="rest",method="POST",route="/v1/volumes",code="201"} 2',
      'lagan_http_requests_total{door="rest",method="GET",route="/v1/volumes/:name",code="404"} 1',
      'lagan_http_requests_total{door="rest",method="GET",route="unknown",code="404"} 1',
      'lagan_volumes{state="ready",pool="default"} 1',
      'lagan_volumes{state="trashed",pool="default"} 1',
      'lagan_pool_healthy{pool="bulk"} 1',
      'lagan_pool_total_bytes{pool="bulk"} 1099511627776',
      'lagan_build_info{version="9.9.9"} 1',
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(text).toMatch(/^lagan_nodejs_eventloop_lag_seconds /m);
    expect(text).toMatch(/^lagan_http_request_duration_seconds_count\{/m);
    expect(text).not.toContain("nobody");
  });

  it("answers HEAD as GET without a body", async () => {
    const answer = await ask("HEAD", "/v1/volumes");
    expect(answer).toMatchObject({ status: 200, text: "" });
    expect((await ask("HEAD", "/v1/events")).status).toBe(200);
  });
});

describe("the OpenAPI document", () => {
  it("describes every route, and every name that it refers to is there", () => {
    const { paths, components } = api.document;
    expect(Object.keys(paths)).toEqual([
      ...["/v1/volumes", "/v1/volumes/{name}", "/v1/volumes/{name}/usage"],
      ...["/v1/trash", "/v1/trash/{id}", "/v1/trash/{id}/usage", "/v1/trash/{id}/restore"],
      ...["/v1/volumes/{name}/snapshots", "/v1/volumes/{name}/snapshots/{snapshot}"],
      ...["/v1/snapshot-groups", "/v1/volumes/{name}/log", "/v1/snapshots"],
      ...["/v1/volumes/{name}/restore", "/v1/volumes/{name}/branches", "/v1/trash-snapshots"],
      ...["/v1/trash-snapshots/{ref}/restore", "/v1/trash-snapshots/{ref}"],
      ...["/v1/volumes/{name}/diff", "/v1/volumes/{name}/export", "/v1/volumes/{name}/import"],
      ...["/v1/images", "/v1/images/{image}", "/v1/images/prune"],
      ...["/v1/images/import", "/v1/images/pull", "/v1/volumes/{name}/image", "/v1/layers"],
      ...["/v1/usage", "/v1/profiles", "/v1/profiles/{name}"],
      ...["/v1/pools", "/v1/pools/{name}", "/v1/operations", "/v1/operations/{id}"],
      "/v1/operations/{id}/cancel",
      ...["/v1/status", "/v1/doctor", "/v1/events", "/healthz", "/metrics"],
    ]);
    const refs = [...JSON.stringify(api.document).matchAll(/"#\/components\/schemas\/(\w+)"/g)];
    for (const [, name = ""] of refs) expect(components.schemas).toHaveProperty(name);
    expect(Object.keys(components.schemas).sort()).toEqual(
      [...new Set([...refs.map(([, name]) => name)])].sort(),
    );
    const ids = Object.values(paths).flatMap((path) =>
      Object.values(path).map((one) => (one as { operationId?: string }).operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("would notice an answer that is not as described", () => {
    expect(() => api.valid("Usage", { usedBytes: "5" })).toThrow();
    expect(() => api.valid("Alive", { status: "ok", secret: 1 })).toThrow();
  });
});

/** What no door may take: a request, then the status and what the message must say. */
const VOLUMES = "/v1/volumes";
const BAD: readonly (readonly [
  title: string,
  request: readonly [
    method: string,
    url: string,
    payload?: object | string | Buffer | undefined,
    headers?: object,
  ],
  status: number,
  says: string,
])[] = [
  ["a name of one letter", ["POST", VOLUMES, { name: "x" }], 400, "at least 2 characters"],
  ["a name too long", ["POST", VOLUMES, { name: "x".repeat(129) }], 400, "at most 128"],
  ["a name with a space", ["POST", VOLUMES, { name: "a b" }], 400, "as a volume name"],
  ["a name of a branch", ["POST", VOLUMES, { name: "a@b" }], 400, "reserved for snapshots"],
  ["a name that climbs", ["POST", VOLUMES, { name: "../etc" }], 400, "reserved"],
  ["a name with a zero", ["POST", VOLUMES, { name: "a\u0000b" }], 400, "\\u0000"],
  ["a name with an escape", ["POST", VOLUMES, { name: "a\u001b[31mb" }], 400, "\\u001b"],
  ["half a surrogate pair", ["POST", VOLUMES, '{"name":"a\\ud800"}'], 400, "half of a surrogate"],
  ["no name", ["POST", VOLUMES, {}], 400, "name: expected string"],
  ["a number for a name", ["POST", VOLUMES, { name: 5 }], 400, "name: expected string"],
  ["null for a name", ["POST", VOLUMES, { name: null }], 400, "name: expected string"],
  ["an array for a body", ["POST", VOLUMES, []], 400, "expected object"],
  ["a text for a body", ["POST", VOLUMES, '"data"'], 400, "expected object"],
  [
    "an unknown key",
    ["POST", VOLUMES, { name: "data", colour: 1 }],
    400,
    "allowed are name, options, labels",
  ],
  [
    "an unknown option",
    ["POST", VOLUMES, { name: "data", options: { sise: "1G" } }],
    400,
    "allowed are size, pool",
  ],
  [
    "a number for an option",
    ["POST", VOLUMES, { name: "data", options: { uid: 5 } }],
    400,
    "options.uid: expected string",
  ],
  [
    "a size without sense",
    ["POST", VOLUMES, { name: "data", options: { size: "big" } }],
    400,
    "as a size",
  ],
  [
    "a negative size",
    ["POST", VOLUMES, { name: "data", options: { size: "-1G" } }],
    400,
    "as a size",
  ],
  [
    "a size too small",
    ["POST", VOLUMES, { name: "data", options: { size: "1K" } }],
    400,
    "the smallest is 1 MiB",
  ],
  [
    "a size too large",
    ["POST", VOLUMES, { name: "data", options: { size: "9999P" } }],
    400,
    "the largest is 8 PiB",
  ],
  [
    "a size with a space",
    ["POST", VOLUMES, { name: "data", options: { size: "1 G" } }],
    400,
    "as a size",
  ],
  ["an empty size", ["POST", VOLUMES, { name: "data", options: { size: "" } }], 400, "as a size"],
  ["a negative uid", ["POST", VOLUMES, { name: "data", options: { uid: "-1" } }], 400, "uid="],
  [
    "a uid too large",
    ["POST", VOLUMES, { name: "data", options: { uid: "4294967295" } }],
    400,
    "uid=",
  ],
  ["a mode with a 9", ["POST", VOLUMES, { name: "data", options: { mode: "0799" } }], 400, "octal"],
  [
    "a vague protect",
    ["POST", VOLUMES, { name: "data", options: { protect: "maybe" } }],
    400,
    "true or false",
  ],
  [
    "a pool's name with a capital",
    ["POST", VOLUMES, { name: "data", options: { pool: "Fast" } }],
    400,
    "as a pool name",
  ],
  [
    "a pool that is not there",
    ["POST", VOLUMES, { name: "data", options: { pool: "fast" } }],
    404,
    "there is: bulk, default",
  ],
  [
    "a profile that is not there",
    ["POST", VOLUMES, { name: "data", options: { profile: "gold" } }],
    404,
    "there is: none",
  ],
  [
    "a label's key with a space",
    ["POST", VOLUMES, { name: "data", labels: { "a b": "" } }],
    400,
    "as a label",
  ],
  [
    "a label's value with a newline",
    ["POST", VOLUMES, { name: "data", labels: { a: "x\ny" } }],
    400,
    "control characters",
  ],
  [
    "a label's value that is an object",
    ["POST", VOLUMES, { name: "data", labels: { a: {} } }],
    400,
    "labels.a: expected string",
  ],
  [
    "a label twice",
    ["POST", VOLUMES, { name: "data", options: { "label.a": "1" }, labels: { a: "2" } }],
    400,
    "give it once",
  ],
  [
    "too many labels",
    [
      "POST",
      VOLUMES,
      {
        name: "data",
        labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ""])),
      },
    ],
    400,
    "at most 64",
  ],
  [
    "a key twice",
    ["POST", VOLUMES, '{"name":"data","name":"other"}'],
    400,
    '"name" stands in it twice',
  ],
  [
    "a key twice, escaped",
    ["POST", VOLUMES, '{"name":"data","options":{"size":"1G","s\\u0069ze":"2G"}}'],
    400,
    "twice",
  ],
  ["__proto__", ["POST", VOLUMES, '{"name":"data","__proto__":{"x":1}}'], 400, "cannot be a key"],
  [
    "__proto__ as an option",
    ["POST", VOLUMES, '{"name":"data","options":{"label.__proto__":"x"}}'],
    400,
    "as a label",
  ],
  [
    "deep nesting",
    ["POST", VOLUMES, `{"name":${"[".repeat(9)}${"]".repeat(9)}}`],
    400,
    "nested deeper",
  ],
  [
    "very deep nesting",
    ["POST", VOLUMES, `${"[".repeat(400_000)}${"]".repeat(400_000)}`],
    400,
    "nested deeper",
  ],
  ["no JSON", ["POST", VOLUMES, "name=data"], 400, "is not JSON"],
  ["half of JSON", ["POST", VOLUMES, '{"name":"da'], 400, "is not JSON"],
  ["an empty body", ["POST", VOLUMES, ""], 400, "it is empty"],
  ["no UTF-8", ["POST", VOLUMES, Buffer.from([0x22, 0xff, 0x22])], 400, "not UTF-8"],
  [
    "another type",
    ["POST", VOLUMES, "name=data", { "content-type": "application/x-www-form-urlencoded" }],
    415,
    "send application/json",
  ],
  [
    "a body too large",
    ["POST", VOLUMES, `{"name":"${"x".repeat(BODY_LIMIT_BYTES)}"}`],
    413,
    "larger than 1048576 bytes",
  ],
  [
    "a body where none belongs",
    ["DELETE", `${VOLUMES}/kept`, { force: true }],
    400,
    "takes no body",
  ],
  ["a page of none", ["GET", `${VOLUMES}?page_size=0`], 400, "from 1 to 500"],
  ["a page too large", ["GET", `${VOLUMES}?page_size=501`], 400, "from 1 to 500"],
  ["a page of words", ["GET", `${VOLUMES}?page_size=ten`], 400, "from 1 to 500"],
  ["a page of 1e2", ["GET", `${VOLUMES}?page_size=1e2`], 400, "from 1 to 500"],
  ["two page sizes", ["GET", `${VOLUMES}?page_size=1&page_size=2`], 400, "from 1 to 500"],
  ["a made-up page token", ["GET", `${VOLUMES}?page_token=abc`], 400, "page_token"],
  [
    "an unknown query",
    ["GET", `${VOLUMES}?lable=a`],
    400,
    "allowed are page_size, page_token, label",
  ],
  ["a query where none belongs", ["GET", `${VOLUMES}/kept?verbose=1`], 400, "none is allowed"],
  ["a query of __proto__", ["GET", `${VOLUMES}?__proto__=1`], 400, "unknown"],
  ["an empty label", ["GET", `${VOLUMES}?label=`], 400, "KEY or KEY=VALUE"],
  ["two pools", ["GET", `${VOLUMES}?pool=a&pool=b`], 400, "give it once"],
  ["an unknown pool", ["GET", `${VOLUMES}?pool=nope`], 404, "there is: bulk, default"],
  ["unused=perhaps", ["GET", `${VOLUMES}?unused=perhaps`], 400, "give true or false"],
  ["events since yesterday", ["GET", "/v1/events?since=yesterday"], 400, "sequence of an event"],
  ["a change of nothing", ["PATCH", `${VOLUMES}/kept`, {}], 400, "asks for nothing"],
  [
    "a change of the size",
    ["PATCH", `${VOLUMES}/kept`, { size: "1G" }],
    400,
    "allowed are labels, protect, name",
  ],
  [
    "a text for protect",
    ["PATCH", `${VOLUMES}/kept`, { protect: "yes" }],
    400,
    "protect: expected boolean",
  ],
  ["a bad new name", ["PATCH", `${VOLUMES}/kept`, { name: "a/b" }], 400, "as a volume name"],
  ["a bad new label", ["PATCH", `${VOLUMES}/kept`, { labels: { "-": "" } }], 400, "as a label"],
  ["a change of nobody", ["PATCH", `${VOLUMES}/nobody`, { protect: true }], 404, "does not exist"],
  [
    "a weak ETag",
    ["PATCH", `${VOLUMES}/kept`, { protect: true }, { "if-match": 'W/"1"' }],
    400,
    "give one ETag",
  ],
  [
    "two ETags",
    ["DELETE", `${VOLUMES}/kept`, undefined, { "if-match": '"1", "2"' }],
    400,
    "give one ETag",
  ],
  [
    "a bare ETag",
    ["DELETE", `${VOLUMES}/kept`, undefined, { "if-match": "1" }],
    400,
    "give one ETag",
  ],
  ["a volume with a slash", ["GET", `${VOLUMES}/a%2Fb`], 400, "as a volume name"],
  ["a volume with dots", ["GET", `${VOLUMES}/%2e%2e`], 404, ""],
  ["a URL that cannot be read", ["GET", `${VOLUMES}/%zz`], 400, "not a valid url"],
  ["a very long name in the URL", ["GET", `${VOLUMES}/${"x".repeat(1000)}`], 400, "at most 128"],
  ["an even longer one", ["GET", `${VOLUMES}/${"x".repeat(3000)}`], 414, "Cannot read the request"],
  ["a volume that is not there", ["GET", `${VOLUMES}/nobody`], 404, "does not exist"],
  ["a bad restore", ["POST", "/v1/trash/kept/restore", { as: "x" }], 400, "allowed are name"],
  ["odd characters in the trash", ["GET", "/v1/trash/a%20b"], 400, "in the trash"],
  ["nobody in the trash", ["DELETE", "/v1/trash/nobody"], 404, "lagan trash ls"],
  ["an operation without an id", ["GET", "/v1/operations/5"], 400, "not a UUIDv7"],
  [
    "an operation long over",
    ["GET", "/v1/operations/01234567-89ab-7def-8123-456789abcdef"],
    404,
    "long over",
  ],
  ["a pool that is not", ["GET", "/v1/pools/nope"], 404, "does not exist"],
  ["an unknown path", ["GET", "/v2/volumes"], 404, "there is no such resource"],
  ["a path with an escape", ["GET", "/v1/%1b[31m"], 404, "there is no such resource"],
  ["no name at all", ["GET", `${VOLUMES}/`], 400, "at least 2 characters"],
  [
    "PUT",
    ["PUT", `${VOLUMES}/kept`, { name: "kept" }],
    405,
    "allowed are GET, HEAD, PATCH, DELETE",
  ],
  ["DELETE of all volumes", ["DELETE", VOLUMES], 405, "allowed are GET, HEAD, POST"],
  ["POST to status", ["POST", "/v1/status", {}], 405, "allowed are GET, HEAD"],
];

describe("bad requests are refused with a clear sentence and change nothing:", () => {
  it.each(BAD)("%s", async (_title, [method, url, payload, headers], status, says) => {
    await create("kept");
    const before = (await ask("GET", "/v1/volumes/kept")).body;
    const answer = await ask(
      method as "GET",
      url,
      payload,
      (headers ?? {}) as Readonly<Record<string, string>>,
    );
    expect(answer.status, answer.text).toBe(status);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    expect(answer.body).toMatchObject({ status, type: `urn:lagan:failure:${answer.body.code}` });
    expect(answer.body.detail).toContain(says);
    expect(answer.body.detail).toMatch(/^Cannot /);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
    expect(answer.body.detail).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(await allNames()).toEqual(["kept"]);
    expect((await ask("GET", "/v1/volumes/kept")).body).toEqual(before);
  });

  it("a method that is refused comes with those that are allowed", async () => {
    expect((await ask("PUT", "/v1/trash")).headers["allow"]).toBe("GET, HEAD, DELETE");
  });
});

describe("a failure of our own", () => {
  it("is told without its cause, and logged with it", async () => {
    const { volumes } = memory.node.services;
    volumes.list = () => Promise.reject(new TypeError("secret of the inside"));
    const answer = await ask("GET", "/v1/volumes", undefined, { "x-request-id": "abc-1" });
    expect(answer.status).toBe(500);
    expect(answer.body).toMatchObject({
      code: "internal",
      detail: "Internal error",
      traceId: "abc-1",
    });
    expect(answer.text).not.toContain("secret");
    const line = memory.lines.find(({ level }) => level === "error");
    expect(String(line?.fields["error"])).toContain("secret of the inside");
  });

  it("does not show the cause of a failure that has one, but its facts", async () => {
    const failure = new Failure("failed_precondition", "Cannot do it: no", {
      detail: { volume: "data", status: 1, code: "forged" },
      cause: new Error("secret"),
    });
    memory.node.services.volumes.update = () => Promise.reject(failure);
    const { body, text, status } = await ask("PATCH", "/v1/volumes/data", { protect: true });
    expect(text).not.toContain("secret");
    expect(status).toBe(409);
    expect(body).toMatchObject({ volume: "data", status: 409, code: "failed_precondition" });
  });
});

describe("trace ids", () => {
  it("are taken from well-formed headers, made otherwise, answered, and known to the work", async () => {
    const { volumes } = memory.node.services;
    const list = volumes.list.bind(volumes);
    const seen: unknown[] = [];
    volumes.list = () => {
      seen.push(traceId());
      return list();
    };
    const parent = "0af7651916cd43dd8448eb211c80319c";
    const sent: readonly Readonly<Record<string, string>>[] = [
      { traceparent: `00-${parent}-b7ad6b7169203331-01` },
      { "x-request-id": "my-id_1" },
      { "x-request-id": "bad id\u0001" },
      {},
    ];
    const ids: unknown[] = [];
    for (const headers of sent) {
      ids.push((await ask("GET", "/v1/volumes", undefined, headers)).headers["x-request-id"]);
    }
    expect(ids.slice(0, 2)).toEqual([parent, "my-id_1"]);
    for (const id of ids.slice(2)) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(seen).toEqual(ids);
  });

  it("one line tells each request", async () => {
    await create("data");
    const lines = memory.lines.filter(({ message }) => message === "request");
    expect(lines.at(-1)).toMatchObject({
      level: "info",
      fields: { door: "rest", method: "POST", route: "/v1/volumes", status: 201 },
    });
    expect(lines.at(-1)?.fields["durationMs"]).toBeTypeOf("number");
  });
});

/** A stream of events over a real socket, read line by line. */
function listen(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: join(directory, "sock"), path, headers }, (answer) => {
      let text = "";
      const waiting: (() => void)[] = [];
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        for (const wake of waiting.splice(0)) wake();
      });
      answer.on("error", () => undefined);
      const closed = new Promise<void>((done) => answer.once("close", () => done()));
      const until = async (part: string): Promise<string> => {
        while (!text.includes(part)) await new Promise<void>((wake) => waiting.push(wake));
        return text;
      };
      const { statusCode: status = 0 } = answer;
      resolve({
        until,
        closed,
        status,
        pause: () => answer.pause(),
        resume: () => answer.resume(),
        stop: () => sent.destroy(),
      });
    });
    sent.once("error", reject);
    sent.end();
  });
}

interface Listener {
  readonly status: number;
  /** All that came, once `part` has. */
  readonly until: (part: string) => Promise<string>;
  readonly closed: Promise<void>;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly stop: () => void;
}

describe("events", () => {
  const sequences = (text: string): readonly number[] =>
    [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));

  beforeEach(async () => {
    await app.listen({ path: join(directory, "sock") });
  });

  it("come as they happen; history only when asked for", async () => {
    await create("before");
    const fresh = await listen("/v1/events");
    const all = await listen("/v1/events?since=0");
    await create("after");
    const text = await fresh.until('"subject":"after"');
    expect(text).not.toContain("before");
    expect(text).toMatch(/^id: \d+\nevent: volume.created\ndata: \{.*\}$/m);
    const whole = await all.until('"subject":"after"');
    expect(sequences(whole)).toEqual([1, 2, 3, 4]);
    for (const [, data = ""] of whole.matchAll(/^data: (.*)$/gm))
      api.valid("Event", JSON.parse(data));
    fresh.stop();
    all.stop();
  });

  it("go on after Last-Event-ID, and from the start when the daemon is a new one", async () => {
    await create("data");
    const resumed = await listen("/v1/events", { "last-event-id": "2" });
    expect(sequences(await resumed.until('"subject":"data"'))).toEqual([3]);
    const newer = await listen("/v1/events", { "last-event-id": "4000" });
    expect(sequences(await newer.until('"subject":"data"'))).toEqual([1, 2, 3]);
    resumed.stop();
    newer.stop();
  });

  it("end after what has happened when nobody wants to follow", async () => {
    await create("data");
    const { text } = await ask("GET", "/v1/events?since=0&follow=false");
    expect(sequences(text)).toEqual([1, 2, 3]);
  });

  it("are not kept in memory for a listener that does not read: it is cut off", async () => {
    const slow = await listen("/v1/events");
    await slow.until(": events");
    slow.pause();
    const { events } = memory.node.services;
    const fast = await listen("/v1/events");
    // More than the socket's buffers and the limit together.
    for (let index = 0; index < 400; index++) {
      const message = "x".repeat(20_000);
      events.emit({ type: "test.noise", level: "info", subject: String(index), message });
      if (index % 20 === 0) await fast.until(`"subject":"${index}"`);
    }
    await fast.until('"subject":"399"');
    slow.resume();
    await slow.closed;
    expect(await slow.until("")).not.toContain('"subject":"399"');
    fast.stop();
  });

  it("do not hold up a daemon that stops", async () => {
    const listener = await listen("/v1/events");
    await app.close();
    await listener.closed;
  });
});

describe("bytes that are no request", () => {
  const exchange = (bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(join(directory, "sock"));
      let text = "";
      socket.on("data", (chunk) => {
        text += String(chunk);
      });
      socket.once("close", () => resolve(text));
      socket.once("error", reject);
      socket.write(bytes);
    });

  it("are answered with a problem, and the daemon goes on", async () => {
    await app.listen({ path: join(directory, "sock") });
    const noise = await exchange("\u0016\u0003\u0001 hello\r\n\r\n");
    expect(noise).toMatch(/^HTTP\/1.1 400 /);
    expect(noise).toContain('"detail":"Cannot read the request: it is not HTTP"');
    const long = await exchange(`GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`);
    expect(long).toMatch(/^HTTP\/1.1 431 /);
    expect((await ask("GET", "/healthz")).status).toBe(200);
  });
});

/** `store`, noting each read. */
function counting(store: Store, calls: string[]): Store {
  return {
    get: (key) => {
      calls.push(`get ${key}`);
      return store.get(key);
    },
    list: (prefix) => {
      calls.push(`list ${prefix}`);
      return store.list(prefix);
    },
    txn: (compares, writes, how) => store.txn(compares, writes, how),
    watch: (prefix, options, stop) => store.watch(prefix, options, stop),
    grantLease: (ttlMs) => store.grantLease(ttlMs),
    keepLease: (lease) => store.keepLease(lease),
    revokeLease: (lease) => store.revokeLease(lease),
    close: () => store.close(),
  };
}
