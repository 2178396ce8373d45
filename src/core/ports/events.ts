import type { UnixMs } from "./clock.ts";

/** Something that happened, for `lagan events` and alarms. */
export interface Event {
  /** Grows by one with each event of this daemon's run. */
  readonly sequence: number;
  readonly at: UnixMs;
  /** What happened, `noun.verb`: `volume.created`, `pool.faulted`, `volume.shadowed`… */
  readonly type: string;
  readonly level: "info" | "warning";
  /** Name of the volume or pool that it happened to. */
  readonly subject: string;
  /** One sentence for people. */
  readonly message: string;
}
