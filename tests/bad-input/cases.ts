import type { FailureCode } from "../../src/core/failure.ts";
import { badBodies } from "./bodies.ts";
import {
  BAD_LINES,
  BAD_NAMES,
  BAD_NEW_NAMES,
  BAD_OPTIONS,
  BAD_SIZES,
  NAME_WITH_NUL,
} from "./names.ts";

/*
 * Bad input by the entrance that it comes through. `KEPT` is a volume with content that must stay as it is, `HELD` one that
 * a process has mounted, `GUARDED` one that is protected, and `TRASHED` one in the trash.
 */

export const KEPT = "kept";
export const HELD = "held";
export const GUARDED = "guarded";
export const TRASHED = "trashed";

/** A request over a socket, and how it must be answered. */
export interface HttpCase {
  readonly title: string;
  readonly method?: string;
  readonly path: string;
  readonly body?: string | Uint8Array | object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** Of REST: the failure's code. */
  readonly code?: FailureCode;
  readonly says: string;
  /** The daemon may close the connection before it has read all: who still writes then may miss the answer. */
  readonly mayCutOff?: boolean;
}

/** A call of Docker's plugin protocol, refused as that protocol has it: 500 and `Err`. */
function call(
  endpoint: string,
  title: string,
  body: string | Uint8Array | object,
  says: string,
): HttpCase {
  const path = `/VolumeDriver.${endpoint}`;
  return { title: `${endpoint}, ${title}`, method: "POST", path, body, status: 500, says };
}

const KEPT_OPTIONS_DIFFER = "it exists with other options";
const LARGE = JSON.stringify({ Name: "data", ID: "x", Opts: { size: "x".repeat(20 * 1024 ** 2) } });

export const DOCKER_CASES: readonly HttpCase[] = [
  ...[...BAD_NAMES, ...BAD_LINES, NAME_WITH_NUL].map(([title, Name, says]) =>
    // Docker's limit of a body comes before the rule for names; both are refusals.
    call("Create", `a name: ${title}`, { Name, Opts: null }, says),
  ),
  ...badBodies("Name", "Opts").map(({ title, bytes, says }) =>
    call("Create", `a body: ${title}`, bytes, says),
  ),
  ...BAD_SIZES.map(([size, , says]) =>
    call(
      "Create",
      `size ${JSON.stringify(size.slice(0, 30))}`,
      { Name: "data", Opts: { size } },
      says,
    ),
  ),
  ...BAD_OPTIONS.map(([key, value, , says]) =>
    call(
      "Create",
      `option ${JSON.stringify(`${key}=${value}`.slice(0, 30))}`,
      { Name: "data", Opts: { [key]: value } },
      says,
    ),
  ),
  call(
    "Create",
    "a size that the pool cannot hold",
    { Name: "data", Opts: { size: "1G" } },
    "limit",
  ),
  call("Create", "other options", { Name: KEPT, Opts: { uid: "5" } }, KEPT_OPTIONS_DIFFER),
  call(
    "Create",
    "another branch than the name's",
    { Name: `${KEPT}@prod`, Opts: { branch: "dev" } },
    `-o branch=dev ${KEPT}@dev`,
  ),
  call(
    "Create",
    "a branch with a limit",
    { Name: `${KEPT}@dev`, Opts: { branch: "dev", size: "1G" } },
    "a branch takes no option size",
  ),
  call(
    "Create",
    "a branch of nothing",
    { Name: "absent@dev", Opts: { branch: "dev" } },
    '"absent": it does not exist',
  ),
  call("Create", "a branch by accident", { Name: `${KEPT}@dev` }, "-o branch=dev"),
  call("Mount", "no ID", { Name: KEPT }, "ID"),
  call("Mount", "an empty ID", { Name: KEPT, ID: "" }, "ID"),
  call("Mount", "a number for the ID", { Name: KEPT, ID: 7 }, "ID"),
  call("Mount", "an ID with a newline", { Name: KEPT, ID: "a\nb" }, "printable ASCII"),
  call("Mount", "an ID with NUL", { Name: KEPT, ID: "a\0b" }, "printable ASCII"),
  call("Mount", "an ID of 257 characters", { Name: KEPT, ID: "x".repeat(257) }, "ID"),
  call("Mount", "an absent volume", { Name: "nobody", ID: "x" }, "does not exist"),
  call("Mount", "a volume in the trash", { Name: TRASHED, ID: "x" }, "does not exist"),
  call("Unmount", "no ID", { Name: KEPT }, "ID"),
  call("Unmount", "a climbing name", { Name: "../x", ID: "x" }, "reserved"),
  call("Get", "an absent volume", { Name: "nobody" }, "does not exist"),
  call("Get", "a layer's directory", { Name: "layers/_data" }, "reserved"),
  call("Path", "an absent volume", { Name: "nobody" }, "does not exist"),
  call("Path", "a climbing name", { Name: "../../etc" }, "reserved"),
  call("Remove", "a volume in use", { Name: HELD }, "it is in use by process"),
  call("Remove", "a protected volume", { Name: GUARDED }, "protected"),
  call("Remove", "a climbing name", { Name: ".." }, "letter or digit"),
  { ...call("Create", "20 MiB", LARGE, "larger than 1048576 bytes"), mayCutOff: true },
  { ...call("Get", "20 MiB", LARGE, "larger than 1048576 bytes"), mayCutOff: true },
  {
    ...call("Create", "a Content-Type that is none", { Name: "x" }, "Cannot read the request"),
    headers: { "content-type": "\u00ff" },
  },
  {
    ...call("Get", "a Content-Type that is none", { Name: "x" }, "Cannot read the request"),
    headers: { "content-type": "/;;" },
  },
  { ...call("Snapshot", "an unknown verb", { Name: KEPT }, "does not know"), status: 404 },
  { ...call("create", "in lower case", { Name: "data" }, "does not know"), status: 404 },
  { ...call("Create/", "with a slash", { Name: "data" }, "does not know"), status: 404 },
  { ...call("Create%00", "with NUL", { Name: "data" }, "does not know"), status: 404 },
  { ...call("%zz", "a URL that cannot be read", {}, "Cannot read the request"), status: 400 },
  { ...call("Create", "by PUT", { Name: "data" }, "does not know"), method: "PUT", status: 404 },
  {
    ...call("Remove", "by DELETE", { Name: KEPT }, "does not know"),
    method: "DELETE",
    status: 404,
  },
  { title: "Get by GET", path: "/VolumeDriver.Get", status: 404, says: "does not know" },
  { title: "a REST path", path: "/v1/volumes", status: 404, says: "does not know" },
];

const VOLUMES = "/v1/volumes";
const JSON_TYPE = { "content-type": "application/json" };

function create(
  title: string,
  body: string | Uint8Array | object,
  code: FailureCode,
  says: string,
): HttpCase {
  const status = code === "not_found" ? 404 : code === "already_exists" ? 409 : 400;
  const request = { method: "POST", path: VOLUMES, body, headers: JSON_TYPE };
  return { title: `a creation, ${title}`, ...request, status, code, says };
}

function bad(method: string, path: string, says: string, more: Partial<HttpCase> = {}): HttpCase {
  const title = `${method} ${path.slice(0, 60)} ${JSON.stringify(more.body ?? "").slice(0, 40)}`;
  const code = "invalid_argument" as const;
  const headers = more.body === undefined ? {} : JSON_TYPE;
  return { title, method, path, status: 400, code, says, headers, ...more };
}

const ABSENT = { status: 404, code: "not_found" } as const;
const CONFLICT = { status: 409, code: "failed_precondition" } as const;
const WRONG_METHOD = { status: 405, code: "unimplemented" } as const;

/** A change or a removal of `KEPT` under a condition. */
function onlyIf(etag: string, says = "give one ETag", more: Partial<HttpCase> = {}): HttpCase {
  const body = { labels: { a: "b" } };
  const headers = { ...JSON_TYPE, "if-match": etag };
  const title = `If-Match: ${etag}`;
  return { ...bad("PATCH", `${VOLUMES}/${KEPT}`, says, { title, body, headers }), ...more };
}

export const REST_CASES: readonly HttpCase[] = [
  ...[...BAD_NAMES, ...BAD_NEW_NAMES, NAME_WITH_NUL].map(([title, name, says]) =>
    create(`a name: ${title}`, { name }, "invalid_argument", says),
  ),
  ...[...BAD_NAMES, ...BAD_LINES, NAME_WITH_NUL]
    .filter(([, name]) => name.length < 1000 && name !== "" && name !== "..")
    .map(([title, name, says]) =>
      bad("GET", `${VOLUMES}/${encodeURIComponent(name)}`, says, { title: `GET, ${title}` }),
    ),
  ...badBodies("name", "options").map(({ title, bytes, says }) =>
    create(`a body: ${title}`, bytes, "invalid_argument", says),
  ),
  ...BAD_SIZES.map(([size, code, says]) =>
    create(
      `size ${JSON.stringify(size.slice(0, 30))}`,
      { name: "data", options: { size } },
      code,
      says,
    ),
  ),
  ...BAD_OPTIONS.map(([key, value, code, says]) =>
    create(
      `option ${JSON.stringify(`${key}=${value}`.slice(0, 30))}`,
      { name: "data", options: { [key]: value } },
      code,
      says,
    ),
  ),
  create("other options", { name: KEPT, options: { uid: "5" } }, "already_exists", "other options"),
  create("an unknown key", { name: "data", constructor: {} }, "invalid_argument", "is unknown"),
  create("labels as an array", { name: "data", labels: ["a"] }, "invalid_argument", "labels"),
  { ...create("20 MiB", LARGE, "invalid_argument", "larger"), status: 413, mayCutOff: true },
  {
    ...create("as a form", "name=data", "invalid_argument", "send application/json"),
    headers: { "content-type": "application/x-www-form-urlencoded" },
    status: 415,
  },
  {
    ...create("with a Content-Type that is none", "{}", "invalid_argument", "Cannot read"),
    headers: { "content-type": "json" },
    status: 415,
  },
  ...["0", "-1", "501", "1e2", "0x10", "1.5", "", "%20", "99999999999999999999", "\u0661"].map(
    (size) => bad("GET", `${VOLUMES}?page_size=${encodeURI(size)}`, "from 1 to 500"),
  ),
  ...["", "x", "MTo", "MTo=", "..", "MTprZXB0%00", "%ff", "x".repeat(5000)].flatMap((token) =>
    // "MTo" is the token of an empty key: ours, though of no volume.
    token === "MTo" ? [] : [bad("GET", `${VOLUMES}?page_token=${token}`, "page_token")],
  ),
  bad("GET", `${VOLUMES}?page_token=a&page_token=b`, "give it once"),
  bad("GET", `${VOLUMES}?PAGE_SIZE=1`, "is unknown"),
  bad("GET", `${VOLUMES}?constructor=1`, "is unknown"),
  bad("GET", `${VOLUMES}?__proto__=1`, "is unknown"),
  bad("GET", `${VOLUMES}?unused=1`, "give true or false"),
  bad("GET", `${VOLUMES}?unused=true&unused=true`, "give true or false"),
  bad("GET", `${VOLUMES}?pool=../x`, "as a pool name"),
  bad("GET", `${VOLUMES}?label=${"a&label=".repeat(64)}a`, "at most 64"),
  bad("GET", "/v1/events?since=-1&follow=false", "sequence of an event"),
  bad("GET", "/v1/events?since=1e3&follow=false", "sequence of an event"),
  bad("GET", "/v1/events?follow=no", "give true or false"),
  bad("GET", "/v1/status?x=1", "none is allowed"),
  ...['"', '""', '"x"', '"-1"', '"1e3"', 'W/"1"', '"1","2"', "1", '"9999999999999999"'].map(
    (etag) => onlyIf(etag),
  ),
  onlyIf('"999999"', "it was changed meanwhile", { status: 412, code: "aborted" }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "asks for nothing", { body: {} }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "is unknown", { body: { size: 5 } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "sizeBytes alone", { body: { sizeBytes: 5, labels: {} } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "sizeBytes", { body: { sizeBytes: -1 } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "protect", { body: { protect: 1 } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "labels", { body: { labels: { a: 5 } } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "as a label", { body: { labels: { "a b": "" } } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "__proto__", { body: '{"labels":{"__proto__":null}}' }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "volume name", { body: { name: "../x" } }),
  bad("PATCH", `${VOLUMES}/${KEPT}`, "has it already", {
    ...{ body: { name: HELD }, status: 409, code: "already_exists" },
  }),
  bad("PATCH", `${VOLUMES}/${HELD}`, "in use by process", { ...CONFLICT, body: { name: "free" } }),
  bad("PATCH", `${VOLUMES}/nobody`, "does not exist", { ...ABSENT, body: { protect: true } }),
  bad("DELETE", `${VOLUMES}/${HELD}`, "in use by process", CONFLICT),
  bad("DELETE", `${VOLUMES}/${GUARDED}`, "protected", CONFLICT),
  bad("DELETE", `${VOLUMES}/nobody`, "does not exist", ABSENT),
  bad("DELETE", `${VOLUMES}/${KEPT}`, "takes no body", { body: { force: true } }),
  bad("DELETE", VOLUMES, "allowed are", WRONG_METHOD),
  bad("PUT", `${VOLUMES}/${KEPT}`, "allowed are", { ...WRONG_METHOD, body: {} }),
  bad("POST", `${VOLUMES}/${KEPT}`, "allowed are", { ...WRONG_METHOD, body: {} }),
  bad("POST", "/v1/trash", "allowed are", { ...WRONG_METHOD, body: {} }),
  bad("OPTIONS", VOLUMES, "allowed are", WRONG_METHOD),
  bad("GET", `${VOLUMES}/${KEPT}/usage/more`, "no such resource", ABSENT),
  bad("GET", "/v1/volumes/kept/..", "no such resource", ABSENT),
  bad("GET", "/v1//volumes", "no such resource", ABSENT),
  bad("GET", "/V1/VOLUMES", "no such resource", ABSENT),
  bad("GET", "/../../etc/passwd", "no such resource", ABSENT),
  bad("GET", `${VOLUMES}/%zz`, "not a valid url"),
  bad("GET", `${VOLUMES}/%ff`, "Cannot"),
  bad("POST", "/VolumeDriver.Create", "no such resource", { ...ABSENT, body: {} }),
  bad("POST", "/v1/trash/nobody/restore", "lagan trash ls", { ...ABSENT, body: {} }),
  bad("POST", `/v1/trash/${TRASHED}/restore`, "volume name", { body: { name: ".." } }),
  bad("POST", `/v1/trash/${TRASHED}/restore`, "a volume has that name", {
    ...{ body: { name: KEPT }, status: 409, code: "already_exists" },
  }),
  bad("DELETE", "/v1/trash/nobody", "lagan trash ls", ABSENT),
  bad("DELETE", "/v1/trash/%2e%2e%2fx", "in the trash"),
  bad("GET", "/v1/pools/..%2f", "as a pool name"),
  bad("GET", "/v1/pools/constructor", "does not exist", ABSENT),
  bad("GET", "/v1/operations/..%2fx", "not a UUIDv7"),
];

/** Bytes written to the socket as they are. */
export interface RawCase {
  readonly title: string;
  readonly bytes: string;
  readonly answer: RegExp;
}

const BODY = '{"name":"data"}';
const HEAD = "POST /v1/volumes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

export const RAW_CASES: readonly RawCase[] = [
  { title: "noise", bytes: "\u0001\u0002banana\r\n\r\n", answer: /^HTTP\/1.1 400 / },
  { title: "TLS", bytes: "\u0016\u0003\u0001\u0002\u0000\r\n\r\n", answer: /^HTTP\/1.1 400 / },
  {
    title: "a Content-Length that is too small",
    bytes: `${HEAD}Content-Length: 5\r\nConnection: close\r\n\r\n${BODY}`,
    // The rest is taken for another request, whichever is looked at first.
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "a Content-Length that is no number",
    bytes: `${HEAD}Content-Length: banana\r\n\r\n${BODY}`,
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "a negative Content-Length",
    bytes: `${HEAD}Content-Length: -1\r\n\r\n${BODY}`,
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "two Content-Lengths",
    bytes: `${HEAD}Content-Length: 15\r\nContent-Length: 5\r\n\r\n${BODY}`,
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "a Content-Length and chunks",
    bytes: `${HEAD}Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "chunks that are not JSON",
    bytes: `${HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n7\r\n{"name"\r\n0\r\n\r\n`,
    answer: /^HTTP\/1.1 400 [\s\S]*is not JSON/,
  },
  {
    title: "a chunk's size that is no number",
    bytes: `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n${BODY}\r\n0\r\n\r\n`,
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "headers of 64 KiB",
    bytes: `GET /v1/volumes HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(65_536)}\r\n\r\n`,
    answer: /^HTTP\/1.1 431 /,
  },
  {
    title: "a header with NUL",
    bytes: "GET /v1/volumes HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n",
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "an unknown method",
    bytes: "BANANA /v1/volumes HTTP/1.1\r\nHost: x\r\n\r\n",
    answer: /^HTTP\/1.1 400 /,
  },
  {
    title: "a URL with a blank",
    bytes: "GET /v1/volumes /x HTTP/1.1\r\nHost: x\r\n\r\n",
    answer: /^HTTP\/1.1 400 /,
  },
];
