import { expect, it } from "vitest";
import { parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { World } from "./world.ts";

const data = parseVolumeName("data");
const signal = new AbortController().signal;

const options = parseVolumeOptions({ size: "1M" });

/** A daemon on a machine that has had one before; its nth call fails. */
async function secondDaemon(nth: number) {
  const world = new World();
  await world.boot();
  world.machine.crash();
  const daemon = world.build({ nth, when: "before" });
  await daemon.node.start(signal);
  return daemon;
}

/** Which call gives a new layer its limit. */
async function callThatSetsLimit(): Promise<number> {
  const { calls, node } = await secondDaemon(0);
  const first = calls() + 1;
  await node.services.volumes.create(data, options, signal);
  const last = calls();
  for (let nth = first; nth <= last; nth++) {
    const daemon = await secondDaemon(nth);
    await daemon.node.services.volumes.create(data, options, signal).catch(() => undefined);
    if (daemon.hit() === "kernel.limitSubvolume") return nth;
  }
  throw new Error("a creation sets a limit");
}

it("a creation that fails while the chores carry on operations leaves no layer behind", async () => {
  const nth = await callThatSetsLimit();
  for (let turns = 0; turns < 300; turns += 3) {
    const { node } = await secondDaemon(nth);
    const creation = node.services.volumes.create(data, options, signal);
    for (let turn = 0; turn < turns; turn++) await null;
    await Promise.allSettled([creation, node.reconcile.resume(signal)]);
    expect(await node.reconcile.compare(signal), `after ${turns} turns`).toEqual({
      orphans: [],
      lost: [],
      damaged: [],
    });
  }
});
