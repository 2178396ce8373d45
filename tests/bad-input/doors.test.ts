import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call } from "../real/unix-http.ts";
import { DOCKER_CASES, KEPT, RAW_CASES, REST_CASES } from "./cases.ts";
import { BadInputHost, exchange, type Seen, send } from "./host.ts";

/*
 * Bad input on both sockets of a real lagand: a clear sentence with the right code, nothing changed, and the same daemon
 * goes on.
 */

let host: BadInputHost;
let before: Seen;

beforeAll(async () => {
  host = await BadInputHost.start();
  before = await host.see();
});

afterAll(() => host?.[Symbol.asyncDispose]());

/** A sentence that a terminal and a log can be given. */
const HARMLESS = /^Cannot [^\p{Cc}\p{Cf}]{10,1000}$/u;

describe("Docker's door refuses", () => {
  it.each(DOCKER_CASES)("$title", async (bad) => {
    const answer = await send(host.machine.lagand.pluginSocketPath, bad);
    if (answer !== undefined) {
      expect(answer.status, answer.body).toBe(bad.status);
      const { Err, ...more } = JSON.parse(answer.body);
      expect(Err).toContain(bad.says);
      expect(Err).toMatch(HARMLESS);
      expect(more).toEqual({});
    }
    expect(await host.see()).toEqual(before);
  });
});

describe("REST refuses", () => {
  it.each(REST_CASES)("$title", async (bad) => {
    const answer = await send(host.machine.lagand.socketPath, bad);
    if (answer !== undefined) {
      expect(answer.status, answer.body).toBe(bad.status);
      expect(answer.headers["content-type"]).toContain("application/problem+json");
      const { detail, code, status } = JSON.parse(answer.body);
      expect({ code, status }).toEqual({ code: bad.code, status: bad.status });
      expect(detail).toContain(bad.says);
      expect(detail).toMatch(HARMLESS);
    }
    expect(await host.see()).toEqual(before);
  });
});

describe("both sockets refuse what is no request:", () => {
  it.each(RAW_CASES)("$title", async ({ bytes, answer }) => {
    const { socketPath, pluginSocketPath } = host.machine.lagand;
    expect(await exchange(socketPath, bytes)).toMatch(answer);
    const ofDocker = await exchange(
      pluginSocketPath,
      bytes.replace("/v1/volumes", "/VolumeDriver.Create"),
    );
    expect(ofDocker).toMatch(/^HTTP\/1.1 (4\d\d|500) /);
    expect(await host.see()).toEqual(before);
  });
});

it("1,000 callers at once on one volume are all answered, by each door, and it is as it was", async () => {
  const { socketPath } = host.machine.lagand;
  const asked = [
    ["Create", { Name: KEPT, Opts: { uid: "9" } }],
    ["Create", { Name: KEPT }],
    ["Get", { Name: KEPT }],
    ["Mount", { Name: KEPT, ID: "" }],
    ["Remove", { Name: "../kept" }],
  ] as const;
  const calls = Array.from({ length: 1000 }, async (_, index) => {
    if (index % 2 === 0) {
      const [endpoint, body] = asked[(index / 2) % asked.length] ?? asked[0];
      const { status, json } = await host.plugin(endpoint, body);
      const good = endpoint === "Get" || !("Opts" in body || "ID" in body || body.Name !== KEPT);
      expect({ endpoint, status }).toEqual({ endpoint, status: good ? 200 : 500 });
      return String(json?.["Err"]);
    }
    const path = `/v1/volumes/${KEPT}`;
    const headers = { "if-match": '"999999"', "content-type": "application/json" };
    const body = '{"protect":true}';
    const answer = await call({ socketPath, path, method: "PATCH", headers, body });
    expect(answer.status).toBe(412);
    return answer.body;
  });
  const answers = await Promise.all(calls);
  expect(answers).toHaveLength(1000);
  expect(await host.see()).toEqual(before);
});

it("who still sends what is refused hears why, also on a connection that ends with it", async () => {
  const { socketPath } = host.machine.lagand;
  const path = `/v1/volumes/${KEPT}/import`;
  const headers = { "content-type": "application/x-tar", connection: "close" };
  const body = "x".repeat(310_000);
  const told = new Map<string, number>();
  for (let time = 0; time < 1_000; time++) {
    const what = await call({ socketPath, path, method: "POST", headers, body }).then(
      ({ status }) => `answered ${status}`,
      (thrown: Error) => thrown.message,
    );
    told.set(what, (told.get(what) ?? 0) + 1);
  }
  expect([...told]).toEqual([["answered 409", 1_000]]);
  expect(await host.see()).toEqual(before);
});
