import { describe, expect, it } from "vitest";
import { SharedMachine } from "./recorded-machine.ts";

/* Volumes that are layers upon layers: what one stands on stays, hidden, for as long as it is needed. */

const OVERLAY_POOL = "pools:\n  default:\n    driver: overlay\n";

describe("a volume of layers", () => {
  const shared = new SharedMachine({ config: OVERLAY_POOL });
  const run = (volume: string, command: string) =>
    shared.host.docker(
      ...["run", "--rm", "--network=none", "-v", `${volume}:/v`],
      ...["--volume-driver", "lagan", "busybox", "sh", "-c", command],
    );
  const lagan = (...args: readonly string[]) => shared.host.mustLagan(...args);

  it("outlives the snapshots and the volume that it was made from, also through a crash of lagand", async () => {
    await run("data", "echo one >/v/one; mkdir /v/directory; echo two >/v/directory/two");
    const snapshot = (await lagan("snapshot", "create", "data")).trim();
    await lagan("clone", snapshot, "copy");
    expect(
      (await run("data", "mv /v/directory /v/moved && rm /v/one && cat /v/moved/two")).stdout,
    ).toBe("two\n");
    await lagan("snapshot", "rm", snapshot);
    await lagan("trash", "empty", "--force");
    await shared.host.lagand.crash();
    expect((await run("data", "ls /v /v/moved")).stdout).toBe("/v:\nmoved\n\n/v/moved:\ntwo\n");
    await lagan("volume", "rm", "data");
    await lagan("trash", "empty", "--force");
    expect((await run("copy", "cat /v/one /v/directory/two")).stdout).toBe("one\ntwo\n");
    expect(await lagan("snapshot", "ls", "copy")).not.toContain(snapshot);
  });

  it("is told by the doctor where the file system makes its first write to a file a copy of all of it", async () => {
    const { facts } = (await shared.host.lagand.get("/v1/pools/default")) as {
      facts: { reflink: boolean };
    };
    const { stdout } = await shared.host.lagan("doctor");
    expect(/the first write to a file .* copies the whole file/.test(stdout)).toBe(!facts.reflink);
  });
});
