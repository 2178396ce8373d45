import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { eventually, type Outcome, run, succeeded } from "./command.ts";
import type { EngineOptions } from "./engine.ts";
import { busyboxRoot } from "./images.ts";
import { Machine } from "./machine.ts";

/** An engine whose layers are lagan's. */
export const ON_LAGAN: EngineOptions = { storageDriver: "lagan" };

/** Volumes in a plain directory, layers in a pool of overlays. */
export const LAYERS_POOL =
  "pools:\n  default:\n    driver: directory\n  layers:\n    driver: overlay\n";

/** The last command with the client of BuildKit in itself; later ones want a package of their own for it. */
const CLASSIC_DOCKER = "/usr/bin/docker";

/** A machine whose engine keeps its layers in lagan; containers and images are removed after each test. */
export class GraphMachine {
  #machine: Machine | undefined;

  readonly #pool: string;

  /** @param pool Where the layers lie, given `config`. */
  constructor(config: string = LAYERS_POOL, pool = "layers") {
    this.#pool = pool;
    beforeAll(async () => {
      this.#machine = await Machine.create();
      await this.host.lagand.start({ config });
      await this.host.engine.start(ON_LAGAN);
      await busyboxRoot(this.host.path("image"));
    });
    afterEach(async () => {
      await this.clear();
      expect(this.mounts()).toEqual([]);
    });
    afterAll(async () => {
      await this.#machine?.[Symbol.asyncDispose]();
    });
  }

  get host(): Machine {
    if (this.#machine === undefined) throw new Error("the machine did not start");
    return this.#machine;
  }

  /** {@link Machine.mustDocker}. */
  docker(...args: readonly string[]): Promise<string> {
    return this.host.mustDocker(...args);
  }

  /** Makes the image `busybox`. */
  importBusybox(): Promise<void> {
    return this.host.engine.importImage("busybox", this.host.path("image"));
  }

  /** `docker run --rm busybox sh -c SCRIPT`. */
  sh(image: string, script: string): Promise<string> {
    return this.docker("run", "--rm", "--network=none", image, "sh", "-c", script);
  }

  /** `docker build` of a Dockerfile and more files; what it printed. */
  async build(
    tag: string,
    builder: "legacy" | "buildkit",
    files: Readonly<Record<string, string>>,
  ): Promise<string> {
    const context = this.host.path("context");
    await mkdir(context, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(`${context}/${name}`, text);
    const argv = [CLASSIC_DOCKER, "build", "--network=none", "-t", tag, context];
    const mode = builder === "buildkit" ? "1" : "0";
    const outcome: Outcome = await run(argv, {
      env: {
        ...this.host.namespace.env,
        DOCKER_HOST: this.host.engine.address,
        DOCKER_BUILDKIT: mode,
        BUILDKIT_PROGRESS: "plain",
      },
    });
    succeeded(argv, outcome);
    return outcome.stdout + outcome.stderr;
  }

  /** Mounts of layers that processes of the host's part of the machine see, by where they are. */
  mounts(): readonly string[] {
    return readFileSync(`/proc/${this.host.namespace.anchorPid}/mountinfo`, "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((point) => point.startsWith(this.host.path("run/graph")));
  }

  /** Directories of layers that the pool holds. */
  layers(): readonly string[] {
    const path = this.host.path("state/pools", this.#pool, "layers");
    // A pool in a file is mounted inside alone.
    const directory = this.host.namespace.inside(path);
    return existsSync(directory) ? readdirSync(directory).sort() : [];
  }

  /** {@link layers} once those that nobody needs are gone, which are let be until nothing has changed for a while. */
  async settledLayers(): Promise<readonly string[]> {
    let last: readonly string[] = [];
    await eventually(
      "layers do not change any more",
      () => {
        const now = this.layers();
        const same = now.join() === last.join();
        last = now;
        return same;
      },
      { everyMs: 1_500 },
    );
    return last;
  }

  /** Removes every container, image and cache, after which nothing may be left in the pool. */
  async clear(): Promise<void> {
    const { engine, lagand } = this.host;
    if (!lagand.running) await lagand.start();
    if (!(await engine.answers())) await engine.start();
    const containers = (await this.docker("ps", "-aq")).split("\n").filter((id) => id !== "");
    if (containers.length > 0) await this.docker("rm", "-f", ...containers);
    await this.docker("builder", "prune", "-af");
    await this.docker("image", "prune", "-af");
    // A layer that was in use when it was to go is tried again after half a minute.
    await eventually("no layer is left", () => this.layers().length === 0, { timeoutMs: 60_000 });
  }
}
