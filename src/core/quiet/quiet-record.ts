import type { QuietId } from "../id.ts";
import type { VolumeName } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";

/** A container of an engine, as a record keeps it. */
export interface QuietContainer {
  /** Address of its engine. */
  readonly engine: string;
  readonly id: string;
  readonly name: string;
}

/** One step of putting a container back to what it was; each can be done again. */
export interface UndoStep {
  readonly container: QuietContainer;
  readonly action:
    | { readonly do: "start" }
    | { readonly do: "unpause" }
    | { readonly do: "pause" }
    | { readonly do: "post"; readonly argv: readonly string[]; readonly timeoutMs: number };
}

/** Containers that are stopped or paused, or between their hooks, and what puts them back: written before it is done. */
export interface QuietRecord {
  readonly id: QuietId;
  readonly volumes: readonly VolumeName[];
  readonly at: UnixMs;
  /** In this order. */
  readonly undo: readonly UndoStep[];
  /** How often putting back was tried in vain. */
  readonly tries: number;
}
