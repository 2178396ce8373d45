import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../../src/host/config.ts";
import type { Outcome } from "../real/command.ts";
import { CONFIG_CASES, START_CASES } from "./config-cases.ts";
import { BadInputHost } from "./host.ts";

describe("the configuration file is refused for", () => {
  it.each(CONFIG_CASES)("%s", (_title, text, says) => {
    let message = "nothing was refused";
    try {
      parseConfig(text);
    } catch (thrown) {
      expect(thrown).toMatchObject({ name: "Failure" });
      message = (thrown as Error).message;
    }
    expect(message).toContain(says);
    expect(message).toMatch(/^[^\p{Cc}\p{Cf}]{10,2000}$/u);
  });
});

describe("lagand does not start with", () => {
  let host: BadInputHost;

  beforeAll(async () => {
    host = await BadInputHost.start();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  function expectEnded({ code, stderr }: Outcome, says: string): void {
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(says) });
    expect(stderr.split("\n").filter((line) => !line.startsWith("{"))).toHaveLength(2);
    expect(stderr).toMatch(/^lagand: [^\p{Cc}\p{Cf}]{10,2000}$/mu);
  }

  /** Another lagand on directories of its own, which must end by itself. */
  async function start(text: string | Uint8Array, more: readonly string[] = []): Promise<Outcome> {
    const { namespace } = host.machine;
    const config = namespace.path("bad.yaml");
    await writeFile(config, text);
    const own = (name: string) => namespace.path("other", name);
    return namespace.run(
      [
        ...[process.execPath, join(import.meta.dirname, "../../src/bin/lagand.ts")],
        ...["--config", config, "--state-dir", own("state"), "--run-dir", own("run")],
        ...["--docker-plugin-dir", own("plugins"), "--engine", host.machine.engine.address],
        ...more,
      ],
      { timeoutMs: 30_000 },
    );
  }

  it.each(START_CASES)("%s", async (_title, text, says) => {
    const before = await host.see();
    expectEnded(await start(text), says);
    expect(await host.see()).toEqual(before);
  });

  it("a state directory that is a file", async () => {
    const file = await host.machine.namespace.write("file", "precious");
    expectEnded(await start("", ["--state-dir", file]), "Cannot start: ");
  });

  it("a state directory that is not absolute", async () => {
    expectEnded(await start("", ["--state-dir", "state"]), "must be an absolute path");
  });

  it("a socket whose path is too long", async () => {
    const long = join(host.machine.path("other"), "x".repeat(100));
    expectEnded(
      await start("pools: { default: { driver: directory } }", ["--run-dir", long]),
      "too long",
    );
  });

  it("bytes that are no UTF-8", async () => {
    const bytes = Buffer.from([...Buffer.from("stateDir: /x"), 0xff, 0xfe, 0x0a]);
    expectEnded(await start(bytes), "not UTF-8");
  });
});
