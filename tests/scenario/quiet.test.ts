import { beforeEach, describe, expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import type { Volume } from "../../src/core/volume/volume.ts";
import type { Node } from "../../src/services/node.ts";
import { PUT_BACK_TRIES } from "../../src/services/quiet.ts";
import { SimEngine } from "../../src/sim/engine.ts";
import { World } from "./world.ts";

/* What is done to containers around a piece of work, on simulated engines. */

const { signal } = new AbortController();
const attempt = 'snapshot volume "data"';
const pre = "lagan.snapshot.pre";
const post = "lagan.snapshot.post";

let world: World;
let engine: SimEngine;
let node: Node;
let data: Volume;

beforeEach(async () => {
  world = new World("directory");
  engine = new SimEngine();
  world.engines.push(engine);
  node = await world.boot();
  const name = parseVolumeName("data");
  data = (await node.services.volumes.create(name, { labels: {} }, signal)).value;
  engine.done.length = 0;
});

function around(how: "pause" | "stop" | undefined, work = async () => engine.states()) {
  return node.services.quiet.around([data], { how, attempt }, work, signal);
}

describe("containers that use a volume", () => {
  it("are stopped from the last started to the first, and started the other way round", async () => {
    engine.add("db", { volume: "data", startedAt: 1 });
    engine.add("web", { volume: "data", startedAt: 2 });
    engine.add("elsewhere", { volume: "other" });
    const { result, containers, faults } = await around("stop");
    expect(result).toEqual({ db: "stopped", web: "stopped", elsewhere: "running" });
    expect(containers).toEqual(["db", "web"]);
    expect(faults).toEqual([]);
    expect(engine.done).toEqual(["stop web", "stop db", "start db", "start web"]);
  });

  it("that are stopped already stay so, and paused ones end paused", async () => {
    engine.add("old", { volume: "data", state: "stopped" });
    engine.add("still", { volume: "data", state: "paused" });
    const before = engine.states();
    await around("stop");
    expect(engine.states()).toEqual(before);
    await around("pause");
    expect(engine.states()).toEqual(before);
    expect(engine.done).toEqual(["stop still", "start still", "pause still"]);
  });

  it("go on when the work fails, and when the caller goes away", async () => {
    engine.add("web", { volume: "data" });
    const failing = around("pause", async () => {
      expect(engine.states()["web"]).toBe("paused");
      throw new Failure("resource_exhausted", "The disk is full");
    });
    await expect(failing).rejects.toMatchObject({ code: "resource_exhausted" });
    expect(engine.states()).toEqual({ web: "running" });
    const caller = new AbortController();
    const left = node.services.quiet.around(
      [data],
      { how: "stop", attempt },
      async () => {
        caller.abort(new Failure("cancelled", "gone"));
        caller.signal.throwIfAborted();
      },
      caller.signal,
    );
    await expect(left).rejects.toMatchObject({ code: "cancelled" });
    expect(engine.states()).toEqual({ web: "running" });
  });

  it("are put back when only some of them could be stopped", async () => {
    engine.add("db", { volume: "data", startedAt: 1 });
    engine.add("web", { volume: "data", startedAt: 2 });
    engine.onCall = (call) => {
      if (call === "stop db") throw new Failure("unavailable", "The engine is tired");
    };
    await expect(around("stop")).rejects.toMatchObject({ message: "The engine is tired" });
    expect(engine.states()).toEqual({ db: "running", web: "running" });
  });

  it("that stopping would remove are not stopped", async () => {
    engine.add("once", { volume: "data", removedWhenStopped: true });
    await expect(around("stop")).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("container once was started with --rm"),
    });
    expect(engine.done).toEqual([]);
  });

  it("of an engine's own volume of the same name are left alone", async () => {
    engine.add("shadow", { volume: "data", volumes: [{ name: "data", driver: "local" }] });
    await around("stop");
    expect(engine.done).toEqual([]);
  });

  it("are in one piece of work at a time", async () => {
    engine.add("web", { volume: "data" });
    const states = await Promise.all([around("pause"), around("stop"), around("pause")]);
    expect(states.map(({ result }) => result["web"])).toEqual(["paused", "stopped", "paused"]);
    expect(engine.states()).toEqual({ web: "running" });
  });
});

describe("a container that cannot be started again", () => {
  it("is told in the result and as an event, and is tried again until it can", async () => {
    engine.add("web", { volume: "data" });
    let broken = true;
    engine.onCall = (call) => {
      if (broken && call === "start web") throw new Failure("failed_precondition", "no port");
    };
    const { faults } = await around("stop");
    expect(faults).toEqual([
      "Cannot start container web again: no port; it is tried again every minute",
    ]);
    const told = () =>
      node.services.events.since(0).filter(({ type }) => type === "container.left").length;
    expect(told()).toBe(1);
    await node.services.quiet.putBackLeft();
    expect(told()).toBe(1);
    broken = false;
    await node.services.quiet.putBackLeft();
    expect(engine.states()).toEqual({ web: "running" });
    engine.done.length = 0;
    await node.services.quiet.putBackLeft();
    expect(engine.done).toEqual([]);
  });

  it("is given up in the end, and that is told", async () => {
    engine.add("web", { volume: "data" });
    let tries = 0;
    engine.onCall = (call) => {
      if (call !== "start web") return;
      tries++;
      throw new Failure("failed_precondition", "no port");
    };
    await around("stop");
    for (let round = 0; round < 2 * PUT_BACK_TRIES; round++) {
      await node.services.quiet.putBackLeft();
    }
    expect(tries).toBe(PUT_BACK_TRIES);
    const told = node.services.events.since(0).filter(({ type }) => type === "container.left");
    expect(told.map(({ message }) => message.endsWith("every minute"))).toEqual([true, false]);
  });
});

describe("after a crash", () => {
  it.each(["pause", "stop"] as const)("the next daemon undoes %s", async (how) => {
    engine.add("db", { volume: "data", startedAt: 1 });
    engine.add("web", { volume: "data", startedAt: 2, labels: { [post]: "unlock" } });
    const reached = Promise.withResolvers<void>();
    // Its daemon never hears of it again.
    void around(how, () => {
      reached.resolve();
      return new Promise(() => undefined);
    });
    await reached.promise;
    expect(Object.values(engine.states())).not.toContain("running");
    const next = await world.boot();
    await next.services.quiet.putBackLeft();
    expect(engine.states()).toEqual({ db: "running", web: "running" });
    const ran = engine.done.includes("exec web sh -c unlock");
    expect(ran).toBe(how === "pause");
  });
});

describe("hooks", () => {
  it("run in order around pausing, in each container that has them", async () => {
    const labels = { [pre]: '["lock", "now"]', [post]: "unlock" };
    engine.add("db", { volume: "data", startedAt: 1, labels });
    engine.add("web", { volume: "data", startedAt: 2 });
    await around("pause", async () => {
      engine.done.push("work");
      return {};
    });
    expect(engine.done).toEqual([
      ...["exec db lock now", "pause web", "pause db", "work"],
      ...["unpause db", "unpause web", "exec db sh -c unlock"],
    ]);
  });

  it("that fail before stop the work; what had begun is ended", async () => {
    const labels = { [pre]: "lock", [post]: "unlock" };
    engine.add("a", { volume: "data", startedAt: 3, labels });
    engine.add("b", { volume: "data", startedAt: 2, labels }, async (argv) => {
      return argv.includes("lock")
        ? { exitCode: 3, output: "no such table\n" }
        : { exitCode: 0, output: "" };
    });
    engine.add("c", { volume: "data", startedAt: 1, labels });
    const failing = around(undefined, async () => {
      throw new Error("must not run");
    });
    await expect(failing).rejects.toMatchObject({
      code: "failed_precondition",
      message: `Cannot ${attempt}: the pre-hook of container b failed with 3: no such table`,
    });
    expect(engine.done).toEqual([
      ...["exec a sh -c lock", "exec b sh -c lock"],
      ...["exec b sh -c unlock", "exec a sh -c unlock"],
    ]);
  });

  it("that fail after are told, and the work stands", async () => {
    engine.add("db", { volume: "data", labels: { [post]: "unlock" } }, async () => {
      throw new Failure("deadline_exceeded", "late", { detail: { output: "waiting" } });
    });
    const { faults } = await around(undefined);
    expect(faults).toEqual(["The post-hook of container db took longer than 10 s: waiting"]);
  });

  it("of a label that cannot be mean no work", async () => {
    engine.add("db", { volume: "data", labels: { [pre]: "[1]" } });
    await expect(around(undefined)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("container db: Cannot use label lagan.snapshot.pre="),
    });
  });

  it("are not run for containers that are stopped in order", async () => {
    engine.add("db", { volume: "data", labels: { [pre]: "lock", [post]: "unlock" } });
    await around("stop");
    expect(engine.done).toEqual(["stop db", "start db"]);
  });
});

describe("an engine that does not answer", () => {
  it("is no obstacle while nobody uses the volume", async () => {
    engine.onCall = () => {
      throw new Failure("unavailable", "no answer");
    };
    await around(undefined);
    await around("stop");
  });
});
