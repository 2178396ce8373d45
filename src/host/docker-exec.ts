import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Failure } from "../core/failure.ts";
import {
  type ContainerExec,
  ENGINE_TIMEOUT_MS,
  EXEC_OUTPUT_LIMIT_BYTES,
} from "../core/ports/engine.ts";
import type { DockerApi } from "./docker-api.ts";

/** How often it is asked whether a command has ended whose output is still open, in milliseconds. */
const LOOK_MS = 100;
/** How long what a command wrote last may take to arrive once it has ended, in milliseconds. */
const DRAIN_MS = 200;

const CREATED = z.object({ Id: z.string() });
// Pid is in the engine's pid namespace; Podman calls it so as well.
const EXEC = z.object({
  Running: z.boolean(),
  ExitCode: z.number().nullish(),
  Pid: z.number().nullish(),
});

/**
 * Runs a command in a container over Docker's API. Its end is asked for: the output may stay open long after, when the command
 * has left something in the background.
 */
export class DockerExec {
  readonly #api: DockerApi;
  readonly #container: string;

  constructor(api: DockerApi, container: string) {
    this.#api = api;
    this.#container = container;
  }

  /** @throws {Failure} As {@link Engine.exec}. */
  async run(
    argv: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ContainerExec> {
    const deadline = performance.now() + timeoutMs;
    const path = `/containers/${this.#container}/exec`;
    const body = { AttachStdout: true, AttachStderr: true, Cmd: argv };
    const what = `run ${JSON.stringify(argv[0])} in container ${this.#container.slice(0, 12)}`;
    const created = await this.#api.call(
      { method: "POST", path, body, timeoutMs: ENGINE_TIMEOUT_MS },
      signal,
    );
    if (created.status !== 201) throw this.#api.refusal(what, created);
    const { Id: id } = CREATED.parse(JSON.parse(created.text));
    const tail = new OutputTail();
    const start = {
      ...{ method: "POST" as const, path: `/exec/${id}/start` },
      ...{ body: { Detach: false, Tty: false }, timeoutMs: timeoutMs + ENGINE_TIMEOUT_MS },
    };
    return this.#api.stream(start, signal, async (answer) => {
      const reading = (async () => {
        for await (const chunk of answer as AsyncIterable<Buffer>) tail.add(chunk);
      })();
      // Heard of below; until then it must not count as unhandled.
      reading.catch(() => undefined);
      if (answer.statusCode !== 200) {
        await reading;
        throw this.#api.refusal(what, { status: answer.statusCode ?? 0, text: tail.raw });
      }
      const exitCode = await this.#end(id, reading, deadline, signal);
      await Promise.race([reading.catch(() => undefined), sleep(DRAIN_MS)]);
      if (exitCode !== undefined) return { exitCode, output: tail.text };
      throw new Failure(
        "deadline_exceeded",
        `Cannot ${what}: it took longer than ${timeoutMs} ms`,
        {
          detail: { output: tail.text },
        },
      );
    });
  }

  /** Its exit code; undefined when the deadline passes first. */
  async #end(
    id: string,
    reading: Promise<void>,
    deadline: number,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    let open = true;
    const closed = reading.then(
      () => (open = false),
      () => (open = false),
    );
    for (;;) {
      const left = deadline - performance.now();
      const look = sleep(Math.max(0, Math.min(LOOK_MS, left)));
      await (open ? Promise.race([closed, look]) : look);
      const { Running, ExitCode, Pid } = await this.#look(id, signal);
      if (!Running) return ExitCode ?? 0;
      if (performance.now() >= deadline) {
        await this.#kill(Pid ?? 0);
        return undefined;
      }
    }
  }

  async #look(id: string, signal: AbortSignal): Promise<z.infer<typeof EXEC>> {
    const answer = await this.#api.call(
      { method: "GET", path: `/exec/${id}/json`, timeoutMs: ENGINE_TIMEOUT_MS },
      signal,
    );
    if (answer.status !== 200) throw this.#api.refusal("look at a command", answer);
    return EXEC.parse(JSON.parse(answer.text));
  }

  /** The API has no call for it. Only what is surely of this container: the engine may number processes otherwise. */
  async #kill(pid: number): Promise<void> {
    if (pid <= 1) return;
    try {
      const cgroup = await readFile(`/proc/${pid}/cgroup`, "utf8");
      if (cgroup.includes(this.#container)) process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** The end of an output that comes in Docker's frames: eight bytes (stream, 0, 0, 0, length), then so many bytes. */
export class OutputTail {
  #header = Buffer.alloc(0);
  #left = 0;
  #tail = Buffer.alloc(0);
  #raw = Buffer.alloc(0);

  add(chunk: Buffer): void {
    if (this.#raw.length < EXEC_OUTPUT_LIMIT_BYTES) this.#raw = Buffer.concat([this.#raw, chunk]);
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        const needed = 8 - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, needed)]);
        rest = rest.subarray(needed);
        if (this.#header.length < 8) return;
        this.#left = this.#header.readUInt32BE(4);
        this.#header = Buffer.alloc(0);
        continue;
      }
      const text = rest.subarray(0, this.#left);
      this.#left -= text.length;
      rest = rest.subarray(text.length);
      this.#tail = Buffer.concat([this.#tail, text]).subarray(-EXEC_OUTPUT_LIMIT_BYTES);
    }
  }

  /** What was written, from its end. */
  get text(): string {
    return this.#tail.toString();
  }

  /** The beginning of what came, for an answer that is no output at all. */
  get raw(): string {
    return this.#raw.toString();
  }
}
