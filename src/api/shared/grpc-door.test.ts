import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Failure } from "../../core/failure.ts";
import type { Log } from "../../core/ports/log.ts";
import { IdentityClient, IdentityService, type ProbeResponse } from "./generated/csi.ts";
import { type GrpcDoor, grpcDoor } from "./grpc-door.ts";
import { type Call, grpcService, type Works } from "./grpc-service.ts";

/** How long a close waits here, and a call that comes too late. */
const [DRAIN_TIMEOUT_MS, LATE_MS] = [5_000, 20_000];

const lines: { message: string; fields: Record<string, unknown> | undefined }[] = [];
const note = (message: string, fields?: Record<string, unknown>) => {
  lines.push({ message, fields });
};
const log: Log = { debug: note, info: note, warn: note, error: note };

let directory: string;
let door: GrpcDoor;
let client: IdentityClient;
let loads = 0;
let probe: (request: object, call: Call) => Promise<ProbeResponse>;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lagan-grpc-"));
  lines.length = 0;
  loads = 0;
  const works: Works<typeof IdentityService> = {
    getPluginInfo: async () => ({ name: "lagan", vendorVersion: "1", manifest: { a: "b" } }),
    getPluginCapabilities: async () => ({ capabilities: [] }),
    probe: (request, call) => probe(request, call),
  };
  const load = async () => {
    loads += 1;
    return [grpcService(IdentityService, works, { door: "test", log })];
  };
  door = grpcDoor(load, log, { drainTimeoutMs: DRAIN_TIMEOUT_MS });
  const path = join(directory, "door.sock");
  await new Promise<void>((resolve) => door.server.listen(path, resolve));
  client = new IdentityClient(`unix:${path}`, credentials.createInsecure());
});

afterEach(async () => {
  client.close();
  await door.close();
  await rm(directory, { recursive: true });
});

function call(deadlineMs?: number): Promise<ProbeResponse> {
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      IdentityService.probe.path,
      IdentityService.probe.requestSerialize,
      IdentityService.probe.responseDeserialize,
      {},
      options,
      (error, response) => (error === null ? resolve(response as ProbeResponse) : reject(error)),
    );
  });
}

it("answers, and loads its services once, with the first connection", async () => {
  probe = async () => ({ ready: true });
  expect(loads).toBe(0);
  expect(await Promise.all([call(), call()])).toEqual([{ ready: true }, { ready: true }]);
  expect(loads).toBe(1);
});

it("a Failure becomes its status with its message, and a line of the log", async () => {
  probe = async () => {
    throw new Failure("failed_precondition", "Cannot: because");
  };
  const error = await call().catch((thrown: ServiceError) => thrown);
  expect(error).toMatchObject({ code: status.FAILED_PRECONDITION, details: "Cannot: because" });
  expect(lines).toContainEqual({
    message: "request",
    fields: expect.objectContaining({ method: "probe", status: "FAILED_PRECONDITION" }),
  });
});

it("what is no Failure is INTERNAL and does not show", async () => {
  probe = async () => {
    throw new Error("secret");
  };
  const error = await call().catch((thrown: ServiceError) => thrown);
  expect(error).toMatchObject({ code: status.INTERNAL, details: "Internal error" });
});

it("the signal aborts when the caller's deadline passes", async () => {
  let aborted: (() => void) | undefined;
  const seen = new Promise<void>((resolve) => {
    aborted = resolve;
  });
  probe = (_, { signal }) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        aborted?.();
        reject(signal.reason as Error);
      });
    });
  await expect(call(50)).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
  await seen;
});

it("a client that sends no HTTP/2 disturbs nobody", async () => {
  probe = async () => ({ ready: true });
  const raw = connect(join(directory, "door.sock"));
  raw.on("error", () => undefined);
  raw.write("GET / HTTP/1.1\r\n\r\n");
  expect(await call()).toEqual({ ready: true });
  raw.destroy();
});

it("close lets a call under way end, and refuses new ones as UNAVAILABLE (point 3)", async () => {
  let finish: ((value: ProbeResponse) => void) | undefined;
  const started = new Promise<void>((resolve) => {
    probe = () =>
      new Promise((end) => {
        finish = end;
        resolve();
      });
  });
  const answer = call();
  await started;
  const closed = door.close();
  const late = await call(LATE_MS).catch((thrown: ServiceError) => thrown);
  expect(late).toMatchObject({ code: status.UNAVAILABLE });
  finish?.({ ready: false });
  expect(await answer).toEqual({ ready: false });
  await closed;
});

it("close ends what never ends by itself (point 3)", async () => {
  const started = new Promise<void>((resolve) => {
    probe = () => {
      resolve();
      return new Promise(() => undefined);
    };
  });
  const answer = call().catch((thrown: ServiceError) => thrown);
  await started;
  await door.close();
  expect(await answer).toMatchObject({ code: expect.any(Number) });
});
