import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { Machine } from "./machine.ts";
import { rest, volumeNames } from "./rest-caller.ts";
import { callPlugin } from "./unix-http.ts";

/* Work that copies, as people meet it: how far it is, and the way to stop it. The root file system shares no bytes. */

const TEST_MS = 120_000;
const FILES = 30_000;

interface Told {
  readonly id: string;
  readonly verb: string;
  readonly state: string;
  readonly why: string | null;
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
}

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
  await machine.lagand.start();
  await machine.mustLagan("volume", "create", "data");
  await fill("a");
}, TEST_MS);
afterEach(() => machine[Symbol.asyncDispose](), TEST_MS);

async function fill(prefix: string): Promise<void> {
  const answer = await callPlugin(machine.lagand.pluginSocketPath, "/VolumeDriver.Path", {
    Name: "data",
  });
  const script = `cd "$1"; seq ${FILES} | split -l 1 -a 4 - "$2"`;
  const path = String(answer.json?.["Mountpoint"]);
  const { code } = await machine.run(["sh", "-ec", script, "sh", path, prefix]);
  expect(code).toBe(0);
}

async function copying(verb: string): Promise<Told> {
  return eventually("something is copied", async () => {
    const { items } = (await machine.lagand.get("/v1/operations")) as { items: readonly Told[] };
    return items.find(
      (each) => each.verb === verb && each.state === "running" && (each.doneBytes ?? 0) > 0,
    );
  });
}

async function told(id: string): Promise<Told> {
  return (await machine.lagand.get(`/v1/operations/${id}`)) as Told;
}

it(
  "a snapshot that copies says how far it is, can be cancelled, and leaves nothing",
  async () => {
    const taken = machine.lagan("snapshot", "create", "data");
    const { id, doneBytes, totalBytes } = await copying("snapshot.create");
    expect(doneBytes).toBeLessThanOrEqual(totalBytes ?? Number.POSITIVE_INFINITY);
    expect(await machine.mustLagan("operation", "cancel", id)).toContain("taken back");
    const outcome = await taken;
    expect([outcome.code === 0, outcome.stderr]).toEqual([false, expect.stringMatching(/cancel/)]);
    expect(await told(id)).toMatchObject({ state: "failed", why: "It was cancelled" });
    expect(JSON.parse(await machine.mustLagan("log", "data", "--json"))).toEqual([]);
    // The same again works.
    await machine.mustLagan("snapshot", "create", "data");
    const again = await machine.lagan("operation", "cancel", id);
    expect(again.stderr).toContain("it is over");
  },
  TEST_MS,
);

it(
  "a clone and a restore that are cancelled leave what was there, and no name taken",
  async () => {
    await machine.mustLagan("snapshot", "create", "data", "--name", "one");
    const cloned = machine.lagan("clone", "data@one", "copy");
    await machine.mustLagan("operation", "cancel", (await copying("volume.create")).id);
    expect((await cloned).code).not.toBe(0);
    expect(await volumeNames(machine.lagand)).toEqual(["data"]);
    const restored = machine.lagan("restore", "data@one");
    await machine.mustLagan("operation", "cancel", (await copying("volume.restore")).id);
    expect((await restored).code).not.toBe(0);
    const log = JSON.parse(await machine.mustLagan("log", "data", "--json"));
    expect(log.map(({ name }: { name: string }) => name)).toEqual(["one"]);
    await machine.mustLagan("clone", "data@one", "copy");
  },
  TEST_MS,
);

it(
  "a daemon whose clone was cut off by kill -9 serves while it goes on, and it can be cancelled still",
  async () => {
    await fill("b");
    await fill("c");
    await machine.mustLagan("snapshot", "create", "data", "--name", "one");
    const cloned = machine.lagan("clone", "data@one", "copy");
    await copying("volume.create");
    await machine.lagand.kill();
    await cloned;
    await machine.lagand.start();
    const { id } = await copying("volume.create");
    await machine.mustLagan("operation", "cancel", id);
    expect(await volumeNames(machine.lagand)).toEqual(["data"]);
    expect(await told(id)).toMatchObject({ state: "failed" });
  },
  TEST_MS,
);

it("an operation that is not there is not found", async () => {
  const id = "00000000-0000-7000-8000-000000000000";
  const { status } = await rest(machine.lagand, "POST", `/v1/operations/${id}/cancel`);
  expect(status).toBe(404);
});
