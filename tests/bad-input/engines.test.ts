import { afterAll, beforeAll, expect, it } from "vitest";
import type { Outcome } from "../real/command.ts";
import { DOCKER_COMMANDS, type EngineCase, PODMAN_COMMANDS } from "./engine-cases.ts";
import { BadInputHost, type Seen } from "./host.ts";

/* Bad input as real engines hand it on: their users see our sentence, and nothing changes. */

let host: BadInputHost;
let before: Seen;

beforeAll(async () => {
  host = await BadInputHost.start();
  await host.machine.engine.start();
  // The engine's first question about a volume; Podman learns of volumes when it is told to.
  await host.machine.mustDocker("volume", "ls");
  before = await host.see();
});

afterAll(() => host?.[Symbol.asyncDispose]());

async function refused(
  run: (...argv: readonly string[]) => Promise<Outcome>,
  [argv, status, says]: EngineCase,
): Promise<void> {
  const { code, stderr } = await run(...argv);
  expect({ code, stderr }).toEqual({ code: status, stderr: expect.stringMatching(says) });
  expect(await host.see()).toEqual(before);
}

it.each(DOCKER_COMMANDS)("docker %j is refused", (...row) =>
  refused((...argv) => host.machine.docker(...argv), row),
);

it.each(PODMAN_COMMANDS)("podman %j is refused", (...row) =>
  refused((...argv) => host.machine.podman(...argv), row),
);
