import { judgeEngineLayers } from "../core/engine/layers.ts";
import { Failure } from "../core/failure.ts";
import type { Engine } from "../core/ports/engine.ts";
import type { Finding } from "./doctor.ts";

const CHECK = "engines";

/**
 * What there is to say of the engines: that they answer, know the plugin, and where they keep their layers.
 *
 * @param name Ours, as engines know it.
 */
export async function examineEngines(
  engines: readonly Engine[],
  name: string,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  if (engines.length === 0) {
    return [
      {
        level: "ok",
        check: CHECK,
        saw: "none is configured or found; messages about volumes in use name processes only",
      },
    ];
  }
  const found = await Promise.all(engines.map((engine) => examineEngine(engine, name, signal)));
  return found.flat();
}

async function examineEngine(
  engine: Engine,
  name: string,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const check = CHECK;
  const { address } = engine;
  try {
    // First: with it the engine looks for plugins, so that it can tell of them.
    const volumes = await engine.listVolumes(signal);
    const settings = await engine.settings(signal);
    const saw = `${address} answers and lists ${volumes.length} volumes`;
    const findings: Finding[] = [{ level: "ok", check, saw }];
    if (settings.product === "docker" && !settings.volumePlugins.includes(name)) {
      findings.push({
        level: "warn",
        check,
        saw: `${address} does not find the plugin "${name}"`,
        advice: `It looks for ${name}.sock in /run/docker/plugins: let lagand put its socket there (--docker-plugin-dir), and let both see the same directory.`,
      });
    }
    const layers = judgeEngineLayers(settings, name);
    if (layers !== undefined) {
      findings.push({ ...layers, check: "layers of engines", saw: `${address}: ${layers.saw}` });
    }
    return findings;
  } catch (thrown) {
    return [
      {
        level: "warn",
        check,
        saw: Failure.from(thrown).message,
        advice:
          "Shadowed volumes and stopped containers that use a volume cannot be seen while it does not answer.",
      },
    ];
  }
}
