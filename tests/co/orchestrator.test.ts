import { access } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { capabilityOf } from "./capability.ts";
import type { Claim } from "./claims.ts";
import { Claims } from "./claims.ts";
import { Plugin, type PluginFacts } from "./plugin.ts";
import { type Reply, ScriptedDriver } from "./scripted-driver.ts";
import { Workloads } from "./workloads.ts";

const rpc = (...types: readonly number[]) => ({
  capabilities: types.map((type) => ({ type: { $case: "rpc", value: { type } } })),
});
const CLAIM: Claim = {
  ...{ name: "data", volumeId: "id-1", capability: capabilityOf({}), sizeBytes: 0n },
  ...{ context: { a: "b" }, topology: [] },
};

/** An orchestrator of a driver that attaches and stages. */
class Case implements AsyncDisposable {
  readonly driver: ScriptedDriver;
  readonly plugin: Plugin;

  private constructor(driver: ScriptedDriver) {
    this.driver = driver;
    this.plugin = new Plugin(driver.socketPath);
  }

  static async start(): Promise<Case> {
    return new Case(await ScriptedDriver.start());
  }

  async facts(): Promise<PluginFacts> {
    const { driver, plugin } = this;
    const service = { capabilities: [{ type: { $case: "service", value: { type: 1 } } }] };
    driver.reply("getPluginCapabilities", service);
    driver.reply("controllerGetCapabilities", rpc(1, 2));
    driver.reply("nodeGetCapabilities", rpc(1));
    driver.reply("nodeGetInfo", { nodeId: "node-1" });
    const facts = await plugin.facts({ withinMs: 5_000 });
    driver.take();
    return facts;
  }

  async workloads(): Promise<Workloads> {
    const facts = await this.facts();
    const directory = join(this.driver.socketPath, "../node");
    return new Workloads({ plugin: this.plugin, facts, directory, patience: { withinMs: 5_000 } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.plugin.close();
    await this.driver[Symbol.asyncDispose]();
  }
}

const UNAVAILABLE: Reply = { fail: status.UNAVAILABLE };
const START = ["controllerPublishVolume", "nodeStageVolume", "nodePublishVolume"];
const END = ["nodeUnpublishVolume", "nodeUnstageVolume", "controllerUnpublishVolume"];

describe("an orchestrator", () => {
  it("waits until the driver is ready, and asks what it can", async () => {
    await using one = await Case.start();
    one.driver.reply("probe", UNAVAILABLE, { ready: false }, {});
    const facts = await one.facts();
    expect([...facts.controller, ...facts.node, facts.nodeInfo.nodeId]).toEqual([
      1,
      2,
      1,
      "node-1",
    ]);
  });

  it.each([
    ["UNAVAILABLE", status.UNAVAILABLE],
    ["ABORTED", status.ABORTED],
    ["DEADLINE_EXCEEDED", status.DEADLINE_EXCEEDED],
    ["CANCELLED", status.CANCELLED],
  ])("repeats a call that ended with %s: perhaps it still goes on", async (_, fail) => {
    await using one = await Case.start();
    one.driver.reply("createVolume", { fail }, { fail }, { volume: volume("id-1") });
    const claim = await new Claims(one.plugin, { withinMs: 5_000 }).create({ name: "data" });
    expect(claim.volumeId).toBe("id-1");
    expect(one.driver.take()).toEqual(Array.from({ length: 3 }, () => "createVolume"));
  });

  it("takes every other status for an answer", async () => {
    await using one = await Case.start();
    one.driver.reply("createVolume", { fail: status.RESOURCE_EXHAUSTED });
    const created = new Claims(one.plugin, { withinMs: 5_000 }).create({ name: "data" });
    await expect(created).rejects.toMatchObject({ code: "resource_exhausted" });
    expect(one.driver.take()).toEqual(["createVolume"]);
  });

  it("gives up in the end", async () => {
    await using one = await Case.start();
    one.driver.reply("deleteVolume", ...Array.from({ length: 9 }, () => UNAVAILABLE));
    const removed = new Claims(one.plugin, { withinMs: 0 }).remove("id-1");
    await expect(removed).rejects.toMatchObject({ code: "unavailable" });
  });

  it("hears of its own deadline when the driver says nothing", async () => {
    await using one = await Case.start();
    one.driver.reply("nodeGetInfo", "silence");
    const asked = one.plugin.node.nodeGetInfo({}, { timeoutMs: 50 });
    await expect(asked).rejects.toMatchObject({ code: "deadline_exceeded" });
  });

  it("attaches, stages and publishes, and takes it all back", async () => {
    await using one = await Case.start();
    const workloads = await one.workloads();
    const target = await workloads.start(CLAIM, "web");
    expect(one.driver.take()).toEqual(START);
    // What the orchestrator has to make, and what it has to leave to the driver.
    await access(workloads.stagingPath("id-1"));
    await access(join(target, ".."));
    await expect(access(target)).rejects.toThrow("ENOENT");
    await workloads.end("id-1", "web");
    expect(one.driver.take()).toEqual(END);
  });

  it("takes a volume off the node with the last workload only", async () => {
    await using one = await Case.start();
    const workloads = await one.workloads();
    await workloads.start(CLAIM, "one");
    await workloads.start(CLAIM, "two");
    one.driver.take();
    await workloads.end("id-1", "one");
    expect(one.driver.take()).toEqual(["nodeUnpublishVolume"]);
    await workloads.end("id-1", "two");
    expect(one.driver.take()).toEqual(END);
  });

  it("goes back over a start that failed half way, and skips no level", async () => {
    await using one = await Case.start();
    const workloads = await one.workloads();
    one.driver.reply("nodeStageVolume", { fail: status.INTERNAL });
    await expect(workloads.start(CLAIM, "web")).rejects.toMatchObject({ code: "internal" });
    one.driver.take();
    await workloads.end("id-1", "web");
    expect(one.driver.take()).toEqual(END);
  });

  it("repeats a step back until it is done", async () => {
    await using one = await Case.start();
    const workloads = await one.workloads();
    await workloads.start(CLAIM, "web");
    one.driver.take();
    one.driver.reply("nodeUnstageVolume", UNAVAILABLE, UNAVAILABLE);
    await workloads.end("id-1", "web");
    expect(one.driver.take().filter((name) => name === "nodeUnstageVolume")).toHaveLength(3);
  });
});

function volume(volumeId: string): object {
  return { volumeId, capacityBytes: 0n, volumeContext: {}, accessibleTopology: [] };
}
