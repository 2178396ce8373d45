import type { PoolName } from "../../core/name.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Services } from "../../services/services.ts";
import type { Lanes } from "./lanes.ts";

/** What people decide of the driver. */
export interface CsiSettings {
  /** This node's id, by which clients tell nodes apart. */
  readonly node: string;
  /** Most volumes attached to this node; 0: any number. */
  readonly maxVolumes: number;
  /** Also what only version 1.13 of the interface knows: its older clients refuse capabilities that they do not know. */
  readonly health: boolean;
  /**
   * Who is asked for more room. `node`: only the node that has the volume, where a client's controller speaks with any
   * one of several nodes, and would ask the wrong one.
   */
  readonly expandBy: "controller" | "node";
}

/** What the services of the door are built from. */
export interface CsiDoor {
  readonly services: Services;
  readonly settings: CsiSettings;
  readonly defaultPool: PoolName;
  readonly version: string;
  readonly lanes: Lanes;
  readonly log: Log;
  /** The directory of a path without symbolic links, or undefined when it does not exist. */
  readonly realDirectory: (path: string) => Promise<string | undefined>;
  /** Gives a directory to a group, which may write it from then on; `whole`: with all that is in it. */
  readonly giveToGroup: (
    path: string,
    group: number,
    whole: boolean,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Aborts when the daemon stops: work of clients is not tied to their calls. */
  readonly signal: AbortSignal;
}

/** The name under which clients know the driver. */
export const CSI_DRIVER_NAME = "csi.lagan.io";
/** The segment of a topology that names a node. */
export const TOPOLOGY_KEY = "lagan.io/node";
