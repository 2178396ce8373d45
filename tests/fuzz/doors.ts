import assert from "node:assert/strict";
import fc from "fast-check";
import {
  GRAPH_ID_LIMIT,
  parseApply,
  parseCall,
  parseGet,
  parseInit,
  parseCreation as parseLayer,
} from "../../src/api/docker-graph/codec.ts";
import { parseCreate, parseMount, parseNamed } from "../../src/api/docker-volume/codec.ts";
import { parseCreation, parseWith } from "../../src/api/rest/codec.ts";
import { takePage } from "../../src/api/rest/page.ts";
import { EVENTS_QUERY, PAGE_QUERY, VOLUMES_QUERY } from "../../src/api/rest/query.ts";
import type { WirePage } from "../../src/api/rest/resource.ts";
import {
  CHANGE_VOLUME,
  CREATE_VOLUME,
  PAGE_SIZE_LIMIT,
  RESTORE,
} from "../../src/api/rest/schema.ts";
import { parseStrictJson } from "../../src/api/shared/json.ts";
import { traceIdOf } from "../../src/api/shared/trace.ts";
import { type Property, parsed } from "./property.ts";
import { anyText, near, nearJson, objectNear } from "./texts.ts";

const name = near("data", "my-volume", "data@dev", "data@a1");
const options = objectNear(["size", "uid", "label.a", "pool"], near("10G", "5", "default"));
const dockerBody = nearJson(
  fc.record({ Name: name, ID: near("abc"), Opts: fc.option(options) }, { requiredKeys: [] }),
);
const layerId = near("3f2c9a", "3f2c9a-init", "../etc", "a".repeat(GRAPH_ID_LIMIT));
const graphBody = nearJson(
  fc.record(
    {
      ID: layerId,
      Parent: layerId,
      MountLabel: near("", "system_u:object_r:x:s0"),
      StorageOpt: fc.option(objectNear(["size", "inodes"], near("10G", "5"))),
      Home: near("/var/lib/docker/lagan"),
      Opts: fc.option(fc.array(anyText, { maxLength: 2 })),
      UIDMaps: fc.option(fc.array(fc.anything(), { maxLength: 2 })),
    },
    { requiredKeys: [] },
  ),
);
const restBody = nearJson(
  fc.record(
    {
      name,
      options,
      labels: objectNear(["a", "b"], fc.oneof(anyText, fc.constant(null))),
      protect: fc.oneof(fc.boolean(), anyText),
    },
    { requiredKeys: [] },
  ),
);

/** JSON no deeper than ours, with odd keys. */
const shallow = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.string(),
    fc.double({ noNaN: true }),
    fc.boolean(),
    tie("object"),
  ),
  object: objectNear(["a", "b"], tie("value")),
})).object;

const query = objectNear(
  ["page_size", "page_token", "label", "pool", "unused", "since", "follow"],
  fc.oneof(near("1", "500", "true", "a=b"), fc.array(anyText, { maxLength: 3 })),
);

/** What stands before a parser at the doors. */
export const DOOR_PROPERTIES: Readonly<Record<string, Property>> = {
  "JSON is read as JSON.parse reads it, or refused": fc.property(
    fc.oneof(nearJson(shallow), nearJson(fc.jsonValue())),
    (text) => {
      const value = parsed(() => parseStrictJson(text));
      if (value !== undefined) assert.deepEqual(value, JSON.parse(text));
    },
  ),
  "JSON that nothing is wrong with is read": fc.property(shallow, (value) => {
    const text = JSON.stringify(value);
    if (/\\ud[89a-f]|__proto__/i.test(text)) return;
    assert.deepEqual(parseStrictJson(text), JSON.parse(text));
  }),
  "JSON with a key twice is refused": fc.property(
    fc.string(),
    fc.array(fc.string(), { maxLength: 3 }),
    (key, others) => {
      const keys = [key, ...others, key].map((each) => `${JSON.stringify(each)}:1`);
      assert.equal(
        parsed(() => parseStrictJson(`{${keys.join(",")}}`)),
        undefined,
      );
      assert.equal(
        parsed(() => parseStrictJson(`{"a":[{${keys.join(",")}}]}`)),
        undefined,
      );
    },
  ),
  "Docker's requests": fc.property(dockerBody, (body) => {
    const named = parsed(() => parseNamed(body));
    const made = parsed(() => parseCreate(body));
    const mounted = parsed(() => parseMount(body));
    if (named !== undefined) assert.equal(named, JSON.parse(body).Name);
    if (made !== undefined) {
      assert.equal(made.name, named);
      const asked = Object.keys(JSON.parse(body).Opts ?? {}).length;
      const known =
        made.kind === "branch"
          ? Number(made.make) + Number(made.from !== undefined)
          : Object.keys(made.options).length - 1 + Object.keys(made.options.labels).length;
      assert.equal(known, asked);
    }
    if (mounted !== undefined) assert.match(mounted.mountId, /^[\x21-\x7e]{1,256}$/);
  }),
  "Docker's requests about layers": fc.property(graphBody, (body) => {
    const id = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/;
    const call = parsed(() => parseCall(body));
    const made = parsed(() => parseLayer(body));
    const got = parsed(() => parseGet(body));
    const started = parsed(() => parseInit(body));
    if (call !== undefined) {
      assert.match(call.id, id);
      if (call.parent !== null) assert.match(call.parent, id);
    }
    if (made !== undefined) {
      const { StorageOpt, MountLabel } = JSON.parse(body);
      assert.deepEqual({ id: made.id, parent: made.parent }, call);
      assert.notEqual(made.id, made.parent);
      assert.equal(made.sizeBytes !== null, Object.keys(StorageOpt ?? {}).length > 0);
      assert.equal(MountLabel ?? "", "");
    }
    if (got !== undefined) assert.equal(got, JSON.parse(body).ID);
    if (started !== undefined) {
      assert.equal((JSON.parse(body).UIDMaps ?? []).length, 0);
      assert.equal((JSON.parse(body).Opts ?? []).length, 0);
    }
  }),
  "queries about a layer's stream": fc.property(
    objectNear(["id", "parent", "x"], fc.oneof(layerId, fc.array(anyText, { maxLength: 2 }))),
    (given) => {
      const call = parsed(() => parseApply(given));
      if (call !== undefined) assert.equal(call.id, (given as Record<string, unknown>)["id"]);
    },
  ),
  "REST's bodies": fc.property(restBody, (text) => {
    const value = parsed(() => parseStrictJson(text));
    for (const schema of [CREATE_VOLUME, CHANGE_VOLUME, RESTORE]) {
      const body = parsed(() => parseWith<unknown>(schema, value, "the request body", ["name"]));
      if (body !== undefined) assert.deepEqual(body, value);
    }
    const body = parsed(() => parseWith(CREATE_VOLUME, value, "the request body", ["name"]));
    if (body !== undefined) parsed(() => parseCreation(body));
  }),
  "REST's queries": fc.property(query, (given) => {
    for (const schema of [VOLUMES_QUERY, PAGE_QUERY]) {
      const read = parsed(() => parseWith(schema, given, "the query", ["page_size"]));
      if (read === undefined) continue;
      assert(Number.isInteger(read.page_size) && read.page_size >= 1);
      assert(read.page_size <= PAGE_SIZE_LIMIT);
    }
    const events = parsed(() => parseWith(EVENTS_QUERY, given, "the query", ["since"]));
    if (events?.since !== undefined)
      assert(Number.isSafeInteger(events.since) && events.since >= 0);
  }),
  "page tokens that nobody gave": fc.property(near("MTprZXB0", "MTo"), (token) => {
    const items = ["a", "b", "kept", "z"];
    const page = parsed(() => takePage(items, String, { page_size: 2, page_token: token }));
    if (page !== undefined) assert(page.items.every((item) => items.includes(item)));
  }),
  "pages show each item once, in order": fc.property(
    fc.uniqueArray(fc.string({ unit: "binary-ascii", minLength: 1 })),
    fc.integer({ min: 1, max: 5 }),
    (keys, size) => {
      const items = [...keys].sort();
      const seen: string[] = [];
      let token: string | null = null;
      do {
        const after: { page_token?: string } = token === null ? {} : { page_token: token };
        const page: WirePage<string> = takePage(items, String, { page_size: size, ...after });
        assert(page.items.length <= size);
        seen.push(...page.items);
        token = page.nextPageToken;
      } while (token !== null);
      assert.deepEqual(seen, items);
    },
  ),
  "trace headers": fc.property(
    fc.record(
      {
        traceparent: near(`00-${"a1".repeat(16)}-${"b2".repeat(8)}-01`),
        "x-request-id": near("abc-1"),
      },
      { requiredKeys: [] },
    ),
    (headers) => {
      assert.match(traceIdOf(headers), /^[\w-]{1,64}$/);
    },
  ),
};
