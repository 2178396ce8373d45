import { Failure } from "../../core/failure.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Services } from "../../services/services.ts";
import type { PluginRoute } from "../shared/docker-plugin.ts";
import {
  type Creation,
  formatVolume,
  parseCreate,
  parseMount,
  parseNamed,
  type VolumeFacts,
} from "./codec.ts";

/** What the routes need. */
export interface DoorOptions {
  readonly services: Services;
}

/** Names of the calls that must know for sure before they answer (see `status.ts`). */
export const SURE_CALLS: ReadonlySet<string> = new Set([
  "/VolumeDriver.Get",
  "/VolumeDriver.List",
  "/VolumeDriver.Path",
]);

/** Docker's volume plugin protocol, v1 (docs.docker.com/engine/extend/plugins_volume). The key is the path of the POST. */
export function volumeRoutes({ services }: DoorOptions): Readonly<Record<string, PluginRoute>> {
  const { volumes, mounts, targets } = services;
  return {
    "/VolumeDriver.Capabilities": async () => ({ Capabilities: { Scope: "local" } }),
    "/VolumeDriver.Create": async (body, signal) => {
      const asked = parseCreate(body);
      if (asked.kind === "branch") await ensureBranch(services, asked, signal);
      else await volumes.create(asked.name, asked.options, signal, { author: "docker" });
      return { Err: "" };
    },
    "/VolumeDriver.Get": async (body, signal) => {
      const { value } = await volumes.get(parseNamed(body));
      return { Volume: formatVolume(value, await factsOf(services, value, signal)), Err: "" };
    },
    // Only names: an engine asks for the rest by name. Podman sends no body.
    "/VolumeDriver.List": async () => ({
      Volumes: (await volumes.list()).map(({ value }) => ({ Name: value.name })),
      Err: "",
    }),
    "/VolumeDriver.Remove": async (body, signal) => {
      const name = parseNamed(body);
      // The engine holds locks while it waits for us, so it is not asked; its own book was in order, or it would
      // not have come. Absent is success: its last attempt may have reached us.
      await volumes.remove(name, { askEngines: false }, signal).catch((thrown: unknown) => {
        if (!(thrown instanceof Failure) || thrown.code !== "not_found") throw thrown;
      });
      return { Err: "" };
    },
    "/VolumeDriver.Path": async (body, signal) => {
      const { value } = await volumes.get(parseNamed(body));
      return { Mountpoint: await mounts.path(value, signal), Err: "" };
    },
    "/VolumeDriver.Mount": async (body, signal) => {
      const { name, mountId } = parseMount(body);
      // A removal under way either sees this Mount, or comes first and leaves nothing to be mounted.
      const path = await volumes.use(name, async (volume) => {
        await targets.ensureShared(volume);
        return mounts.mount(volume, mountId, signal);
      });
      return { Mountpoint: path, Err: "" };
    },
    "/VolumeDriver.Unmount": async (body) => {
      const { name, mountId } = parseMount(body);
      const found = await volumes.find(name);
      if (found !== undefined) await mounts.unmount(found.value, mountId);
      return { Err: "" };
    },
  };
}

/** `docker run -v data@dev:/d` asks for a volume that it does not know: a branch is made on purpose only. */
async function ensureBranch(
  { volumes, branches }: Services,
  { name, of, branch, make, from }: Creation & { readonly kind: "branch" },
  signal: AbortSignal,
): Promise<void> {
  const isThere = (await volumes.find(name)) !== undefined;
  if (isThere && from === undefined) return;
  if (make || isThere) {
    await branches.create(of, branch, { ...(from && { from }), author: "docker" }, signal);
    return;
  }
  throw new Failure(
    "not_found",
    `Cannot use "${name}": there is no such branch; to make it: lagan branch create ${of} ${branch}, or: docker volume create -d lagan -o branch=${branch} ${name} (a snapshot is used through a branch or a clone of it: --from ${of}@SNAPSHOT)`,
  );
}

/** From what is at hand: a pool that is faulted or slow must not make the volume seem unknown. */
async function factsOf(
  services: Services,
  volume: Volume,
  signal: AbortSignal,
): Promise<VolumeFacts> {
  const { pools, mounts, usage, history } = services;
  const { record, driver, health } = pools.describe(volume.spec.pool);
  const faulted = health.state === "faulted";
  const fresh = !faulted && driver.traits.instantUsage;
  return {
    driver: record.driver,
    health: faulted ? `faulted: ${health.why}` : "ok",
    mounts: await mounts.count(volume.id),
    usage: fresh
      ? await usage.measure(volume, signal).catch(() => usage.last(volume.id))
      : usage.last(volume.id),
    snapshots: (await history.list(volume.name).catch(() => [])).length,
    mountpoint: await mounts.path(volume, signal).catch(() => undefined),
  };
}
