import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { Machine } from "./machine.ts";
import { makeVolume, rest, volumeNames } from "./rest-caller.ts";
import { callPlugin } from "./unix-http.ts";

/* Rows of docs/failure-catalogue.md that concern sockets and callers. */

let machine: Machine;
let sockets: Socket[];
beforeEach(async () => {
  sockets = [];
  machine = await Machine.create();
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await machine[Symbol.asyncDispose]();
});

/** A connection that says nothing yet. */
async function connected(): Promise<Socket> {
  return eventually("connected", async () => {
    const socket = connect(machine.lagand.socketPath);
    sockets.push(socket);
    try {
      await once(socket, "connect");
      socket.on("error", () => undefined);
      return socket;
    } catch {
      // EAGAIN: more wait than the kernel queues.
      return undefined;
    }
  });
}

it("F12 F13 what a killed daemon left is no obstacle: sockets are replaced, and no pid file is believed", async () => {
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "kept");
  const before = await stat(lagand.socketPath);
  await lagand.kill();
  expect((await stat(lagand.socketPath)).ino).toBe(before.ino);
  await lagand.start();
  expect(await volumeNames(lagand)).toEqual(["kept"]);
});

it("F13 a socket that somebody answers is not taken from him", async () => {
  const { lagand } = machine;
  await machine.run(["mkdir", "-p", machine.path("run")]);
  const script = `require("net").createServer().listen(${JSON.stringify(lagand.socketPath)})`;
  const other = spawn(process.execPath, ["-e", script], { env: machine.namespace.env });
  const exited = once(other, "exit");
  try {
    await connected();
    await lagand.launch();
    await eventually("lagand has ended", () => !lagand.running);
    expect(lagand.logTail()).toMatch(/Cannot listen on .*another process does/);
  } finally {
    other.kill("SIGKILL");
    await exited;
  }
});

it("F28 out of file descriptors: callers wait or are refused, and all is well when they are back", async () => {
  const { lagand } = machine;
  await lagand.start({ prefix: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"] });
  await makeVolume(lagand, "kept");
  for (let n = 0; n < 100; n++) await connected();
  await rest(lagand, "POST", "/v1/volumes", { name: "during" }).catch(() => undefined);
  for (const socket of sockets) socket.destroy();
  await eventually("a volume can be made again", () =>
    makeVolume(lagand, "during").then(
      () => true,
      () => false,
    ),
  );
  expect(lagand.running).toBe(true);
  expect(await volumeNames(lagand)).toEqual(["during", "kept"]);
}, 180_000);

it("F38 5,000 idle connections and a request that never ends hold up nobody, and take little memory", async () => {
  const { lagand } = machine;
  await lagand.start();
  const rssMib = async (): Promise<number> => {
    const status = await readFile(`/proc/${lagand.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
  };
  const before = await rssMib();
  const slow = await connected();
  slow.write("POST /v1/volumes HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{");
  for (let n = 0; n < 50; n++) await Promise.all(Array.from({ length: 100 }, connected));
  // All of them are still there when this is answered.
  await makeVolume(lagand, "made");
  expect(slow.destroyed).toBe(false);
  expect((await rssMib()) - before).toBeLessThan(200);
}, 180_000);

it("F38 a body of more than 1 MiB is refused by both doors", async () => {
  const { lagand } = machine;
  await lagand.start();
  const name = "x".repeat(1024 ** 2);
  // The door answers and hangs up before it has read everything: who still writes may see only the hanging up.
  const refused = await rest(lagand, "POST", "/v1/volumes", { name }).then(
    ({ status }) => status,
    (thrown: NodeJS.ErrnoException) => thrown.code,
  );
  expect([413, "EPIPE", "ECONNRESET"]).toContain(refused);
  const call = callPlugin(lagand.pluginSocketPath, "/VolumeDriver.Create", { Name: name }).then(
    ({ status, json }) => [status, json?.["Err"]],
    (thrown: NodeJS.ErrnoException) => [thrown.code],
  );
  expect([413, 500, "EPIPE", "ECONNRESET"]).toContain((await call)[0]);
  await makeVolume(lagand, "made");
  expect(await volumeNames(lagand)).toEqual(["made"]);
});
