import { expect, it } from "vitest";
import { parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { World } from "./world.ts";

const data = parseVolumeName("data");
const signal = new AbortController().signal;
/** More microtasks than either takes. */
const TURNS = 120;

for (const first of ["restore", "purge"] as const) {
  it(`a volume is restored or purged, never both, whenever the other comes after the ${first}`, async () => {
    for (let turns = 0; turns < TURNS; turns++) {
      const { services, reconcile } = await new World().boot();
      await services.volumes.create(data, parseVolumeOptions({}), signal);
      const { value } = await services.volumes.remove(data, { askEngines: false }, signal);
      const acts = {
        restore: () => services.trash.restore(value.id, undefined),
        purge: () => services.trash.purge(value.id, signal),
      };
      const one = acts[first]();
      for (let turn = 0; turn < turns; turn++) await null;
      const other = acts[first === "restore" ? "purge" : "restore"]();
      const done = (await Promise.allSettled([one, other])).map(({ status }) => status);
      const when = `${turns} turns after the ${first}`;
      expect(
        done.filter((status) => status === "fulfilled"),
        when,
      ).toHaveLength(1);
      const { orphans, lost } = await reconcile.compare(signal);
      expect({ orphans, lost }, when).toEqual({ orphans: [], lost: [] });
    }
  });
}
