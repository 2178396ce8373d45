import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { VERSION } from "../../src/core/version.ts";
import type { Outcome } from "../real/command.ts";
import { run } from "../real/command.ts";
import { BTRFS_POOL, NODE_ENVIRONMENT } from "../real/lagand.ts";
import { Machine } from "../real/machine.ts";

/* The plugin as Nomad starts it: an argument, its variables and nothing else in the environment, JSON on standard output. */

const ID = "74564d17-ce50-0bc1-48e5-6feaa41ede48";
const PLUGIN = join(import.meta.dirname, "../../deploy/nomad/lagan");
const ENTRY = join(import.meta.dirname, "../../src/bin/lagan.ts");

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
});
afterEach(() => machine[Symbol.asyncDispose]());

/** Starts the plugin. */
async function plugin(
  operation: string,
  variables: NodeJS.ProcessEnv = {},
): Promise<Outcome & { readonly answer: Readonly<Record<string, unknown>> }> {
  const command = machine.path("lagan");
  await writeFile(command, `#!/bin/sh\nexec ${process.execPath} ${ENTRY} "$@"\n`);
  await chmod(command, 0o755);
  const outcome = await run([PLUGIN, operation], {
    env: {
      ...{ DHV_OPERATION: operation, ...variables, ...NODE_ENVIRONMENT },
      ...{ LAGAN_COMMAND: command, LAGAN_HOST: machine.lagand.address },
    },
  });
  return { ...outcome, answer: JSON.parse(outcome.stdout) };
}

/** What Nomad says of a volume. */
const volume = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  DHV_VOLUMES_DIR: "/opt/nomad/data/host_volumes",
  DHV_PLUGIN_DIR: "/opt/nomad/data/host_volume_plugins",
  DHV_NAMESPACE: "prod",
  DHV_VOLUME_NAME: "shop db",
  DHV_VOLUME_ID: ID,
  DHV_NODE_ID: "0b62d807-6101-a80f-374d-e1c430abbf47",
  DHV_NODE_POOL: "default",
  DHV_CAPACITY_MIN_BYTES: "20000000",
  DHV_CAPACITY_MAX_BYTES: "30000000",
  DHV_PARAMETERS: '{"mode":"0770","label.team":"shop"}',
  ...more,
});

describe("Nomad's plugin", () => {
  it("tells its version without a daemon", async () => {
    const { code, answer } = await plugin("fingerprint");
    expect(code).toBe(0);
    expect(answer).toEqual({ version: VERSION });
  });

  it("makes a volume once, finds it again, and removes it", async () => {
    await machine.lagand.start({ config: BTRFS_POOL });
    const made = await plugin("create", volume());
    expect(made.code, made.stderr).toBe(0);
    const { path } = made.answer;
    expect(made.answer).toEqual({ path, bytes: 30_000_000 });
    await machine.namespace.run(["sh", "-c", `echo kept > ${path}/file`]);
    const inspected = JSON.parse(
      await machine.mustLagan("volume", "inspect", "--json", "shop-db-74564d17"),
    );
    expect(inspected[0]).toMatchObject({
      ...{ path, sizeBytes: 30_000_000, options: { mode: "0770" } },
      labels: { team: "shop", "nomad.volume-id": ID, "nomad.namespace": "prod" },
    });

    // As at every start of Nomad's agent; people have given it more room and another name meanwhile.
    await machine.mustLagan("volume", "resize", "shop-db-74564d17", "40000000");
    await machine.mustLagan("volume", "rename", "shop-db-74564d17", "shop");
    const again = await plugin("create", volume());
    expect(again.answer).toEqual({ path, bytes: 40_000_000 });

    const removal = volume({ DHV_CREATED_PATH: String(path) });
    expect((await plugin("delete", removal)).code).toBe(0);
    expect((await plugin("delete", removal)).code).toBe(0);
    expect(await machine.mustLagan("volume", "ls", "--quiet")).toBe("");
  });

  it("makes no empty volume in the place of one that was removed", async () => {
    await machine.lagand.start({ config: BTRFS_POOL });
    await plugin("create", volume());
    await machine.mustLagan("volume", "rm", "shop-db-74564d17");
    const refused = await plugin("create", volume());
    expect(refused.code).not.toBe(0);
    expect(refused.answer["error"]).toContain("lagan trash restore shop-db-74564d17");
    await machine.mustLagan("trash", "restore", "shop-db-74564d17");
    expect((await plugin("create", volume())).code).toBe(0);
  });

  it("makes one volume for two calls at once", async () => {
    await machine.lagand.start({ config: BTRFS_POOL });
    const both = await Promise.all([plugin("create", volume()), plugin("create", volume())]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both[0].answer).toEqual(both[1].answer);
  });

  it("refuses a pool whose volumes are nowhere until they are used, and leaves none", async () => {
    await machine.lagand.start({ config: "pools:\n  default:\n    driver: overlay\n" });
    const given = volume({ DHV_CAPACITY_MIN_BYTES: "0", DHV_CAPACITY_MAX_BYTES: "0" });
    const { code, answer } = await plugin("create", given);
    expect(code).not.toBe(0);
    expect(answer["error"]).toContain("choose a pool of btrfs, zfs or directory");
    expect(await machine.mustLagan("volume", "ls", "--quiet")).toBe("");
  });

  it.each([
    ["an unknown operation", "resize", {}, "fingerprint, create or delete"],
    ["no id", "create", { DHV_VOLUME_ID: "" }, "DHV_VOLUME_ID is not set"],
    ["no name", "create", { DHV_VOLUME_NAME: "" }, "DHV_VOLUME_NAME is not set"],
    ["parameters that are no JSON", "create", { DHV_PARAMETERS: "{" }, "they are not JSON"],
    ["a list of parameters", "create", { DHV_PARAMETERS: "[]" }, "give an object"],
    ["a parameter that is a number", "create", { DHV_PARAMETERS: '{"uid":7}' }, "is no text"],
    ["a size among them", "create", { DHV_PARAMETERS: '{"size":"1G"}' }, "capacity_max"],
    ["a capacity of words", "create", { DHV_CAPACITY_MAX_BYTES: "1G" }, "give bytes"],
    ["a daemon that is not there", "create", {}, "lagan.sock"],
  ])("says what is wrong with %s", async (_, operation, variables, why) => {
    const { code, answer, stderr } = await plugin(operation, volume(variables));
    expect(code).not.toBe(0);
    expect(answer["error"]).toContain(why);
    expect(stderr).toContain(why);
  });
});
