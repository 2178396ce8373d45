import { Failure } from "../failure.ts";
import type { ContainerDetails } from "../ports/engine.ts";
import { parseHooks } from "./hook.ts";
import type { QuietContainer, UndoStep } from "./quiet-record.ts";

/** How containers are kept from writing: their processes stand still, or they are stopped. */
export type QuietHow = "pause" | "stop";

/** One thing done to a container, and what undoes it. */
export interface QuietStep {
  readonly container: QuietContainer;
  readonly action:
    | { readonly do: "pre"; readonly argv: readonly string[]; readonly timeoutMs: number }
    /** Nothing before; only a post-hook. */
    | { readonly do: "none" }
    | { readonly do: "pause" }
    | { readonly do: "stop"; readonly timeoutMs: number };
  /** Due as soon as the action has begun. */
  readonly undo: readonly UndoStep[];
}

/** What is done around a piece of work. */
export interface QuietPlan {
  /** In this order, before. */
  readonly steps: readonly QuietStep[];
  /** The undo steps of all steps, in the order in which they are taken after. */
  readonly undo: readonly UndoStep[];
}

/** A container of one engine. */
export interface FoundContainer {
  readonly engine: string;
  readonly details: ContainerDetails;
}

/**
 * Plans hooks, pausing and stopping. The container started last comes first, so that what others depend on is there
 * longest; putting back goes the other way round: first all that stand still go on, then all that were stopped
 * start, then the post-hooks run. What was stopped before stays stopped, what was paused ends paused.
 *
 * Hooks are not run with `stop`: a container that ends in order has written what it has.
 *
 * @throws {Failure} `invalid_argument` for a label that cannot be; `failed_precondition` for a paused container
 * with hooks, and for one that would be removed by stopping.
 */
export function planQuiet(
  found: readonly FoundContainer[],
  how: QuietHow | undefined,
  work: string,
): QuietPlan {
  const latestFirst = [...found]
    .filter(({ details }) => details.state !== "stopped")
    .sort((a, b) => b.details.startedAt - a.details.startedAt);
  const hooks = how === "stop" ? [] : latestFirst.flatMap((one) => hookSteps(one, work));
  const holds = latestFirst.flatMap((one) => holdSteps(one, how, work));
  const back = (steps: readonly QuietStep[]) => [...steps].reverse().flatMap(({ undo }) => undo);
  return { steps: [...hooks, ...holds], undo: [...back(holds), ...back(hooks)] };
}

function hookSteps({ engine, details }: FoundContainer, work: string): readonly QuietStep[] {
  const hooks = hooksOf(details, work);
  if (hooks === null) return [];
  if (details.state === "paused") {
    throw new Failure(
      "failed_precondition",
      `Cannot ${work}: container ${details.name} has a hook for it and is paused; unpause it first`,
    );
  }
  const container = { engine, id: details.id, name: details.name };
  const { pre, post, timeoutMs } = hooks;
  return [
    {
      container,
      action: pre === null ? { do: "none" } : { do: "pre", argv: pre, timeoutMs },
      undo: post === null ? [] : [{ container, action: { do: "post", argv: post, timeoutMs } }],
    },
  ];
}

function hooksOf(details: ContainerDetails, work: string) {
  try {
    return parseHooks(details.labels);
  } catch (thrown) {
    const { code, message } = Failure.from(thrown);
    throw new Failure(code, `Cannot ${work}: container ${details.name}: ${message}`, {
      cause: thrown,
    });
  }
}

function holdSteps(
  { engine, details }: FoundContainer,
  how: QuietHow | undefined,
  work: string,
): readonly QuietStep[] {
  const container = { engine, id: details.id, name: details.name };
  if (how === undefined || (how === "pause" && details.state === "paused")) return [];
  if (how === "pause") {
    return [
      { container, action: { do: "pause" }, undo: [{ container, action: { do: "unpause" } }] },
    ];
  }
  if (details.removedWhenStopped) {
    throw new Failure(
      "failed_precondition",
      `Cannot ${work}: container ${details.name} was started with --rm, so stopping it would remove it; stop it yourself first`,
    );
  }
  const start: UndoStep = { container, action: { do: "start" } };
  const undo: readonly UndoStep[] =
    details.state === "paused" ? [start, { container, action: { do: "pause" } }] : [start];
  return [{ container, action: { do: "stop", timeoutMs: details.stopTimeoutMs }, undo }];
}
