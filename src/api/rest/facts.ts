import type { VolumeId } from "../../core/id.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Recorded } from "../../services/records.ts";
import type { Services } from "../../services/services.ts";
import { formatTrashed, formatVolume, type VolumeFacts } from "./codec.ts";
import type { WireTrashed, WireVolume } from "./resource.ts";

/** Says volumes with what is at hand about them: no pool is asked, so a slow one slows no listing. */
export interface Teller {
  volume(recorded: Recorded<Volume>): WireVolume;
  trashed(recorded: Recorded<Volume>): WireTrashed;
}

/** For the volumes of one answer; mounts are counted once for all of them. */
export async function tellerOf({ mounts, pools, usage }: Services): Promise<Teller> {
  const counts = await mounts.counts();
  const factsOf = (id: VolumeId, { value, revision }: Recorded<Volume>): VolumeFacts => {
    const { record, health } = pools.describe(value.spec.pool);
    return {
      revision,
      driver: record.driver,
      health,
      mounts: counts.get(id) ?? 0,
      usage: usage.last(id),
    };
  };
  return {
    volume: (recorded) => formatVolume(recorded.value, factsOf(recorded.value.id, recorded)),
    trashed: (recorded) => formatTrashed(recorded.value, factsOf(recorded.value.id, recorded)),
  };
}
