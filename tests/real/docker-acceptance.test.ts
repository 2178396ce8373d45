import { existsSync, statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { DIRECTORY_POOL } from "./lagand.ts";
import { SharedMachine, startRecordedMachine } from "./recorded-machine.ts";
import { callPlugin, type PluginAnswer } from "./unix-http.ts";

/*
 * The acceptance list of a volume plugin, point by point, on the plugin socket itself and through a real engine.
 */

const shared = new SharedMachine();
const quiet = "--network=none";

/** A call on lagand's own plugin socket. */
function plugin(endpoint: string, body: string | object): Promise<PluginAnswer> {
  return callPlugin(shared.host.path("plugins/lagan.sock"), `/VolumeDriver.${endpoint}`, body);
}

/** The same, which must succeed. */
async function must(
  endpoint: string,
  body: string | object,
): Promise<Readonly<Record<string, unknown>>> {
  const { status, json, text } = await plugin(endpoint, body);
  expect({ endpoint, body, status, text }).toMatchObject({ status: 200 });
  expect(json?.["Err"]).toBe("");
  return json ?? {};
}

async function names(): Promise<readonly string[]> {
  const volumes = (await must("List", {}))["Volumes"] as readonly { readonly Name: string }[];
  return volumes.map(({ Name }) => Name);
}

const NAMED_CALLS = ["Create", "Get", "Remove", "Path", "Mount", "Unmount"] as const;

/** Bodies that no call that needs a name may take. */
const BAD_BODIES: Readonly<Record<string, string>> = {
  "an empty body": "",
  "white space": " \n",
  "no JSON": "Name=data",
  "half of a JSON object": '{"Name":"data","ID":"0"',
  "JSON that is no object": '["data"]',
  null: "null",
  "no name": '{"ID":"0"}',
  "an empty name": '{"Name":"","ID":"0"}',
  "a name that is a number": '{"Name":5,"ID":"0"}',
  "a name that is null": '{"Name":null,"ID":"0"}',
  "trailing text": '{"Name":"data","ID":"0"} and more',
};

describe("1, 10: what cannot be understood is refused with 500 and Err, and changes nothing", () => {
  for (const [title, body] of Object.entries(BAD_BODIES)) {
    it(`refuses ${title}`, async () => {
      await must("Create", { Name: "data" });
      const before = await names();
      for (const endpoint of NAMED_CALLS) {
        const { status, json } = await plugin(endpoint, body);
        expect({ endpoint, status }).toEqual({ endpoint, status: 500 });
        expect(json?.["Err"]).toMatch(/^\S.{10,}/);
      }
      expect(await names()).toEqual(before);
    });
  }

  it("refuses 2 MiB without reading them to the end", async () => {
    const before = await names();
    const body = JSON.stringify({ Name: "large", ID: "0", Opts: { size: "x".repeat(2 ** 21) } });
    for (const endpoint of NAMED_CALLS) {
      // Who writes on after the refusal may find the connection closed before having read the answer.
      const status = await plugin(endpoint, body).then(
        (answer) => answer.status,
        (thrown: unknown) => String(thrown),
      );
      expect(String(status)).toMatch(/^500$|EPIPE|ECONNRESET/);
    }
    expect(await names()).toEqual(before);
  });

  it("refuses options that it does not know and values that it cannot read, naming what is allowed", async () => {
    for (const options of [
      ...[{ colour: "red" }, { Size: "1G" }, { size: "" }, { size: "-1" }, { size: "1 potato" }],
      ...[{ uid: "root" }, { mode: "rwx" }, { protect: "maybe" }, { pool: "nowhere" }],
      ...[{ size: 5 }, { label: "x" }, { "label.": "x" }],
    ]) {
      const { status, json } = await plugin("Create", { Name: "optioned", Opts: options });
      expect({ options, status }).toEqual({ options, status: 500 });
      expect(json?.["Err"]).toMatch(/\S.{10,}/);
    }
    expect(await names()).not.toContain("optioned");
  });

  it("refuses a size limit that the pool cannot hold", async () => {
    const { status, json } = await plugin("Create", { Name: "limited", Opts: { size: "10M" } });
    expect(status).toBe(500);
    expect(json?.["Err"]).toMatch(/"limited" with a size limit: pool "default" cannot/);
    expect(await names()).not.toContain("limited");
  });

  it("answers an unknown call with 404 and Err", async () => {
    const { status, json } = await plugin("Resize", { Name: "data" });
    expect(status).toBe(404);
    expect(json?.["Err"]).toMatch(/Resize/);
  });

  it("a Create whose connection broke is not taken for made: the engine's repetition has no body", async () => {
    shared.recorder.once("Create", { do: "drop" });
    const refused = await shared.host.docker("volume", "create", "-d", "lagan", "broken");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/body is empty/);
    expect(await names()).not.toContain("broken");
    await shared.docker("volume", "create", "-d", "lagan", "broken");
  });

  it("a Create whose answer was lost is there when it is asked for again", async () => {
    shared.recorder.once("Create", { do: "lose-answer" });
    expect((await shared.host.docker("volume", "create", "-d", "lagan", "unheard")).code).toBe(1);
    await shared.docker("volume", "create", "-d", "lagan", "unheard");
    expect(await names()).toContain("unheard");
  });
});

describe("3, 14: Mount and Unmount", () => {
  it("take an ID again and again, and an Unmount of an ID or a volume that is unknown", async () => {
    await must("Create", { Name: "mounted" });
    const first = await must("Mount", { Name: "mounted", ID: "one" });
    expect(await must("Mount", { Name: "mounted", ID: "one" })).toEqual(first);
    for (const ID of ["one", "one", "one", "never-seen"]) {
      await must("Unmount", { Name: "mounted", ID });
    }
    await must("Unmount", { Name: "never-made", ID: "one" });
    await must("Remove", { Name: "mounted" });
  });

  it("refuse a Mount without an ID and of a volume that is unknown", async () => {
    await must("Create", { Name: "idless" });
    for (const body of [
      { Name: "idless" },
      { Name: "idless", ID: "" },
      { Name: "none", ID: "x" },
    ]) {
      const { status, json } = await plugin("Mount", body);
      expect(status).toBe(500);
      expect(json?.["Mountpoint"]).toBeUndefined();
    }
  });

  it("100 at once, of one volume, are all answered, and the volume can go afterwards", async () => {
    await must("Create", { Name: "busy" });
    const ids = Array.from({ length: 100 }, (_, index) => `id-${index}`);
    const mounts = await Promise.all(ids.map((ID) => must("Mount", { Name: "busy", ID })));
    expect(new Set(mounts.map((answer) => answer["Mountpoint"])).size).toBe(1);
    const inspected = await shared.docker("volume", "inspect", "-f", "{{.Status.mounts}}", "busy");
    expect(inspected).toBe("100");
    await Promise.all(ids.map((ID) => must("Unmount", { Name: "busy", ID })));
    await must("Remove", { Name: "busy" });
  });

  it("100 creations of one name at once make one volume", async () => {
    const bodies = Array.from({ length: 100 }, () => ({ Name: "raced", Opts: { uid: "7" } }));
    await Promise.all(bodies.map((body) => must("Create", body)));
    expect((await names()).filter((name) => name === "raced")).toHaveLength(1);
  });

  it("creations and removals of one name at once leave it there or not, and nothing in between", async () => {
    await must("Create", { Name: "flicker" });
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        plugin(index % 2 === 0 ? "Create" : "Remove", { Name: "flicker" }),
      ),
    );
    expect([...new Set(answers.map(({ text }) => text))]).toEqual(['{"Err":""}']);
    await must("Create", { Name: "flicker" });
    await must("Mount", { Name: "flicker", ID: "x" });
    await must("Unmount", { Name: "flicker", ID: "x" });
    await must("Remove", { Name: "flicker" });
    expect(await names()).not.toContain("flicker");
  });

  it("8 containers at once start with one volume and end", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "crowd");
    const numbers = Array.from({ length: 8 }, (_, index) => index);
    await Promise.all(
      numbers.map((number) =>
        shared.docker(
          ...["run", "--rm", quiet, "-v", "crowd:/v", "busybox", "touch", `/v/${number}`],
        ),
      ),
    );
    const listed = await shared.docker(
      "run",
      "--rm",
      quiet,
      "-v",
      "crowd:/v",
      "busybox",
      "ls",
      "/v",
    );
    expect(listed.split("\n")).toHaveLength(numbers.length);
    await shared.docker("volume", "rm", "crowd");
  });
});

describe("5, 6: Create and Remove can be repeated", () => {
  it("the same Create succeeds; one with other options names the difference", async () => {
    await must("Create", { Name: "same", Opts: { uid: "5", mode: "0700" } });
    await must("Create", { Name: "same", Opts: { mode: "0700", uid: "5" } });
    const { status, json } = await plugin("Create", { Name: "same", Opts: { uid: "6" } });
    expect(status).toBe(500);
    expect(json?.["Err"]).toMatch(/other options.*uid/);
  });

  it("Remove of what is absent succeeds; of what is in use it is refused and says by whom", async () => {
    await must("Remove", { Name: "never-made" });
    await shared.docker("volume", "create", "-d", "lagan", "used");
    const id = await shared.docker("run", "-d", quiet, "-v", "used:/v", "busybox", "top");
    const { status, json } = await plugin("Remove", { Name: "used" });
    expect(status).toBe(500);
    expect(json?.["Err"]).toContain(id.slice(0, 12));
    await shared.docker("rm", "-f", id);
    await must("Remove", { Name: "used" });
  });
});

describe("7, 8, 11: Get, List and Path", () => {
  it("tell an RFC 3339 time and an absolute path that is there", async () => {
    await must("Create", { Name: "shown" });
    const got = (await must("Get", { Name: "shown" }))["Volume"] as Record<string, unknown>;
    expect(got["CreatedAt"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
    expect(got["Mountpoint"]).toMatch(/^\/.*\/_data$/);
    expect(statSync(shared.host.namespace.inside(String(got["Mountpoint"]))).isDirectory()).toBe(
      true,
    );
    expect((await must("Path", { Name: "shown" }))["Mountpoint"]).toBe(got["Mountpoint"]);
    expect((await must("Mount", { Name: "shown", ID: "x" }))["Mountpoint"]).toBe(got["Mountpoint"]);
    await must("Unmount", { Name: "shown", ID: "x" });
    const listed = await must("List", "");
    expect(listed["Volumes"]).toContainEqual(expect.objectContaining({ Name: "shown" }));
  });

  it("keep CreatedAt while the content changes", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "aged");
    const created = () => shared.docker("volume", "inspect", "-f", "{{.CreatedAt}}", "aged");
    const before = await created();
    expect(Number.isNaN(Date.parse(before))).toBe(false);
    await shared.docker(
      "run",
      "--rm",
      quiet,
      "-v",
      "aged:/v",
      "busybox",
      "touch",
      "-t",
      "200001010000",
      "/v",
    );
    expect(await created()).toBe(before);
  });

  it("say of an unknown volume that it is unknown, which the engine turns into 404", async () => {
    for (const endpoint of ["Get", "Path"]) {
      const { status, json } = await plugin(endpoint, { Name: "unknown" });
      expect(status).toBe(500);
      expect(json?.["Err"]).toMatch(/"unknown".*does not exist/);
      expect(json).not.toHaveProperty("Mountpoint");
    }
    expect((await shared.host.engine.api("/volumes/unknown")).status).toBe(404);
  });
});

describe("9, 15: start and end", () => {
  it("no answer before it is ready is wrong: what is known is known from the first answer on", async () => {
    await using machine = await startRecordedMachine();
    const { host } = machine;
    await host.mustDocker("volume", "create", "-d", "lagan", "early");
    const socket = host.path("plugins/lagan.sock");
    for (let round = 0; round < 3; round++) {
      await host.lagand.kill();
      const started = host.lagand.start();
      const answer = await eventually("an answer", () =>
        callPlugin(socket, "/VolumeDriver.Get", { Name: "early" }).catch(() => undefined),
      );
      expect(answer).toMatchObject({ status: 200, json: { Volume: { Name: "early" } } });
      await started;
    }
  });

  it("a socket that a crash left is replaced; an end in order takes it away", async () => {
    await using machine = await startRecordedMachine();
    const { host } = machine;
    const socket = host.path("plugins/lagan.sock");
    await host.lagand.kill();
    expect(existsSync(socket)).toBe(true);
    await host.lagand.start();
    await host.mustDocker("volume", "create", "-d", "lagan", "anew");
    await host.lagand.stop();
    expect(host.lagand.exitCode).toBe(0);
    expect(existsSync(socket)).toBe(false);
    expect(existsSync(host.lagand.socketPath)).toBe(false);
  });

  it("a second daemon on the same directories ends with a reason, and the first goes on", async () => {
    const { host } = shared;
    const second = await host.lagand.runToEnd(DIRECTORY_POOL);
    expect(second.code).not.toBe(0);
    expect(second.stdout + second.stderr).toMatch(/another|already|in use|running/i);
    expect(host.lagand.running).toBe(true);
    await must("Create", { Name: "after-second" });
  });
});
