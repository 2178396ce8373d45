import { expect, it } from "vitest";
import { volumeRoutes } from "../../src/api/docker-volume/routes.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { World } from "./world.ts";

const data = parseVolumeName("data");
const signal = new AbortController().signal;
/** More microtasks than a removal takes. */
const TURNS = 200;

it("an engine's Mount at any moment of a removal is refused, or keeps the volume", async () => {
  const seen = new Set<string>();
  for (let turns = 0; turns < TURNS; turns++) {
    const { services } = await new World().boot();
    await services.volumes.create(data, parseVolumeOptions({}), signal);
    const removal = services.volumes.remove(data, { askEngines: false }, signal);
    for (let turn = 0; turn < turns; turn++) await null;
    const routes = volumeRoutes({ services });
    const mount = routes["/VolumeDriver.Mount"]?.('{"Name":"data","ID":"m"}', signal);
    const [removed, mounted] = await Promise.allSettled([removal, mount]);
    seen.add(`removal ${removed.status}, mount ${mounted.status}`);
  }
  expect([...seen]).not.toContain("removal fulfilled, mount fulfilled");
  expect([...seen]).toContain("removal fulfilled, mount rejected");
});
