import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { loadBusybox } from "./images.ts";
import type { LagandOptions } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { PLUGIN_DIRECTORY } from "./namespace.ts";
import { type RecordedCall, Recorder } from "./recorder.ts";

/** A machine whose Docker Engine reaches lagand through a recorder. */
export interface RecordedMachine extends AsyncDisposable {
  readonly host: Machine;
  readonly recorder: Recorder;
}

/** Starts one: lagand and the recorder run, and the images are there; the engine has not met the plugin yet. */
export async function startRecordedMachine(options: LagandOptions = {}): Promise<RecordedMachine> {
  const host = await Machine.create();
  const recorder = new Recorder({
    listenPath: host.namespace.inside(`${PLUGIN_DIRECTORY}/lagan.sock`),
    targetPath: host.path("plugins/lagan.sock"),
  });
  const dispose = async () => {
    await recorder.vanish();
    await host[Symbol.asyncDispose]();
  };
  try {
    await host.lagand.start({ pluginDirectory: host.path("plugins"), ...options });
    await recorder.appear();
    await host.engine.start();
    await loadBusybox(host);
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
  return { host, recorder, [Symbol.asyncDispose]: dispose };
}

/** One recorded machine for all tests of a file; its containers are removed after each test. */
export class SharedMachine {
  #machine: RecordedMachine | undefined;

  constructor(options: LagandOptions = {}) {
    beforeAll(async () => {
      this.#machine = await startRecordedMachine(options);
    });
    afterEach(async () => {
      this.recorder.behave();
      await removeContainers(this.host);
    });
    afterAll(async () => {
      await this.#machine?.[Symbol.asyncDispose]();
    });
  }

  get host(): Machine {
    return this.#started.host;
  }

  get recorder(): Recorder {
    return this.#started.recorder;
  }

  /** {@link Machine.mustDocker}. */
  docker(...args: readonly string[]): Promise<string> {
    return this.host.mustDocker(...args);
  }

  /** Holds the calls that `action` causes to a row of the table, such as `G C`. */
  async expectCalls(
    expected: string,
    action: () => Promise<unknown>,
  ): Promise<readonly RecordedCall[]> {
    const { sequence, calls } = await this.recorder.during(action, expected);
    expect(sequence).toBe(expected);
    return calls;
  }

  get #started(): RecordedMachine {
    if (this.#machine === undefined) throw new Error("the machine did not start");
    return this.#machine;
  }
}

/** Removes every container by force; volumes stay. */
export async function removeContainers(host: Machine): Promise<void> {
  const ids = (await host.mustDocker("ps", "-aq")).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await host.mustDocker("rm", "-f", ...ids);
}

/** Ids in the calls of one endpoint. */
export function mountIds(calls: readonly RecordedCall[], endpoint: "Mount" | "Unmount"): string[] {
  return calls
    .filter((call) => call.endpoint === endpoint)
    .map((call) => String(call.request["ID"]));
}
