import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Plugin } from "../co/plugin.ts";
import { eventually } from "./command.ts";
import { csiSocketOf } from "./csi-host.ts";
import { Machine } from "./machine.ts";

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
});
afterEach(() => machine.close());

it("what a client's first call loads is kept compiled at once, for the start after a crash", async () => {
  const cache = machine.path("compiled");
  const files = async (): Promise<number> => {
    const all = await readdir(machine.namespace.inside(cache), { recursive: true });
    return all.length;
  };
  await machine.lagand.start({ env: { NODE_COMPILE_CACHE: cache } });
  const before = await files();
  expect(before).toBeGreaterThan(0);
  const plugin = new Plugin(csiSocketOf(machine));
  try {
    await plugin.facts({ withinMs: 60_000 });
    await eventually("more is kept", async () => (await files()) > before + 10);
  } finally {
    plugin.close();
  }
});
