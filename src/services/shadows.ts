import type { Engine } from "../core/ports/engine.ts";
import type { Log } from "../core/ports/log.ts";
import type { EventLog } from "./event-log.ts";
import type { Volumes } from "./volumes.ts";

/** A volume of an engine's own that has the name of one of ours, and so hides it from containers. */
export interface Shadow {
  readonly name: string;
  /** The driver that the engine found it in, `local` as a rule. */
  readonly driver: string;
  readonly engine: string;
}

/** What {@link Shadows} works with. */
interface ShadowsParts {
  readonly volumes: Volumes;
  readonly engines: readonly Engine[];
  readonly events: EventLog;
  readonly log: Log;
  /** Name under which engines know this daemon. */
  readonly driverName: string;
}

/**
 * Finds shadows. An engine that starts while the plugin is away forgets our volumes, and makes an empty one of
 * its own under the same name when a container asks for it: the data seems gone, with exit code 0.
 */
export class Shadows {
  readonly #parts: ShadowsParts;
  #told = new Set<string>();
  #called = false;

  constructor(parts: ShadowsParts) {
    this.#parts = parts;
  }

  /** Every shadow in every engine that answers. */
  async list(signal: AbortSignal): Promise<readonly Shadow[]> {
    const { volumes, engines, log, driverName } = this.#parts;
    const ours = new Set<string>((await volumes.list()).map(({ value }) => value.name));
    const found = await Promise.all(
      engines.map(async (engine): Promise<readonly Shadow[]> => {
        const listed = await engine.listVolumes(signal).catch((thrown: unknown) => {
          log.debug("engine not asked for shadows", { engine: engine.address, error: thrown });
          return [];
        });
        return listed
          .filter(({ name, driver }) => driver !== driverName && ours.has(name))
          .map(({ name, driver }) => ({ name, driver, engine: engine.address }));
      }),
    );
    return found.flat();
  }

  /** An engine has called: it runs, so it may be asked. */
  engineCalled(): void {
    this.#called = true;
  }

  /**
   * {@link report}, if an engine has called since the last time. One that rests is left alone: asking would start it
   * where systemd holds its socket.
   */
  async reportIfCalled(signal: AbortSignal): Promise<void> {
    if (!this.#called) return;
    this.#called = false;
    await this.report(signal);
  }

  /** {@link list}, told as events, each shadow once for as long as it stays. */
  async report(signal: AbortSignal): Promise<void> {
    const shadows = await this.list(signal);
    const now = new Set(shadows.map(({ engine, name }) => `${engine} ${name}`));
    for (const { name, driver, engine } of shadows) {
      if (this.#told.has(`${engine} ${name}`)) continue;
      this.#parts.events.emit({
        type: "volume.shadowed",
        level: "warning",
        subject: name,
        message: `Volume "${name}" is hidden from containers of ${engine}: it has a volume of that name in driver "${driver}"; look what is in that one, then docker volume rm ${name}`,
      });
    }
    this.#told = now;
  }
}
