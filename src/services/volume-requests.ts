import type { VolumeName } from "../core/name.ts";
import type { ScheduleOptions } from "../core/schedule/schedule.ts";
import type { Branch, Volume } from "../core/volume/volume.ts";
import type { Seed } from "./image-seeds.ts";

/** What `update` changes; what is absent stays. */
export interface VolumeChange {
  /** New labels: a null value takes the label away, the others are added or replaced. */
  readonly labels?: Readonly<Record<string, string | null>>;
  readonly protect?: boolean;
  readonly name?: VolumeName;
  /** Changes of its schedule; `everyMs` null ends it. */
  readonly schedule?: ScheduleOptions;
  /** Who asks; `unknown` unless told. */
  readonly author?: string;
}

/** What a creation is told beside its options. */
export interface CreateContext {
  /** Makes the new volume a branch. */
  readonly branch?: Branch;
  /** Who asks; `unknown` unless told. */
  readonly author?: string;
  /** Gives the volume its content before anybody sees it. When it throws, or the daemon ends meanwhile, there is no volume. */
  readonly fill?: (volume: Volume, signal: AbortSignal) => Promise<void>;
}

/** How a removal is asked for. */
export interface RemoveOptions {
  /** Also refuse when an engine has a stopped container with it. Never set when an engine itself asks: it holds locks. */
  readonly askEngines: boolean;
  /** Remove only if the record is still of this revision. */
  readonly ifRevision?: number;
}

/** Where a new volume's content comes from, when it is no snapshot: what is cut off is taken back. */
export interface Content {
  readonly fill?: CreateContext["fill"];
  readonly seed?: Seed | undefined;
}
