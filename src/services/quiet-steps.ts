import { Failure } from "../core/failure.ts";
import type { Engine } from "../core/ports/engine.ts";
import type { QuietStep } from "../core/quiet/plan-quiet.ts";
import type { QuietContainer, UndoStep } from "../core/quiet/quiet-record.ts";

/** Why a container is not what it was. */
export interface PutBackFault {
  /** A whole sentence. */
  readonly why: string;
  /** It may succeed later. */
  readonly retry: boolean;
}

/** What is done to one container, and undone. */
export class QuietSteps {
  readonly #engines: ReadonlyMap<string, Engine>;

  constructor(engines: readonly Engine[]) {
    this.#engines = new Map(engines.map((engine) => [engine.address, engine]));
  }

  /** @throws {Failure} `failed_precondition` for a hook that fails or is late; what the engine says. */
  async take(
    { container, action }: QuietStep,
    attempt: string,
    signal: AbortSignal,
  ): Promise<void> {
    const engine = this.#engine(container);
    switch (action.do) {
      case "none":
        return;
      case "pause":
        return engine.pause(container.id, signal);
      case "stop":
        return engine.stop(container.id, { timeoutMs: action.timeoutMs }, signal);
      case "pre": {
        const fault = await runHook(engine, container, action, signal);
        if (fault === undefined) return;
        throw new Failure(
          "failed_precondition",
          `Cannot ${attempt}: the pre-hook of container ${container.name} ${fault}`,
        );
      }
    }
  }

  /** Undefined when it is done. Never throws, and heeds no caller's abort. */
  async undo({ container, action }: UndoStep): Promise<PutBackFault | undefined> {
    const { signal } = new AbortController();
    const { name } = container;
    try {
      const engine = this.#engine(container);
      switch (action.do) {
        case "start":
          await engine.start(container.id, signal);
          return undefined;
        case "pause":
          await engine.pause(container.id, signal);
          return undefined;
        case "unpause":
          await engine.unpause(container.id, signal);
          return undefined;
        case "post": {
          const fault = await runHook(engine, container, action, signal);
          if (fault === undefined) return undefined;
          return { why: `The post-hook of container ${name} ${fault}`, retry: false };
        }
      }
    } catch (thrown) {
      const failure = Failure.from(thrown);
      const what =
        action.do === "post"
          ? `run the post-hook of container ${name}`
          : `${action.do} container ${name} again`;
      return {
        why: `Cannot ${what}: ${failure.message}`,
        retry: failure.code !== "not_found",
      };
    }
  }

  #engine({ engine, name }: QuietContainer): Engine {
    const found = this.#engines.get(engine);
    if (found !== undefined) return found;
    throw new Failure(
      "unavailable",
      `Cannot reach container ${name}: its engine at ${engine} is no longer in "engines" in lagan.yaml`,
    );
  }
}

/** Undefined when it succeeded; else how it went, as the end of a sentence. */
async function runHook(
  engine: Engine,
  container: QuietContainer,
  { argv, timeoutMs }: { readonly argv: readonly string[]; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { exitCode, output } = await engine.exec(container.id, argv, { timeoutMs }, signal);
    return exitCode === 0 ? undefined : `failed with ${exitCode}${shown(output)}`;
  } catch (thrown) {
    const { code, detail } = Failure.from(thrown);
    if (code !== "deadline_exceeded") throw thrown;
    return `took longer than ${timeoutMs / 1_000} s${shown(String(detail["output"] ?? ""))}`;
  }
}

/** The last line or so of what a hook wrote. */
function shown(output: string): string {
  const text = output.trim().replace(/[^\S\n]+|\p{Cc}/gu, " ");
  return text === "" ? "" : `: ${text.slice(-500)}`;
}
