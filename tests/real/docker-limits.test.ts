import { describe, expect, it } from "vitest";
import { BTRFS_POOL } from "./lagand.ts";
import { findLoops } from "./leftovers.ts";
import { SharedMachine, startRecordedMachine } from "./recorded-machine.ts";

/* The size limit of a volume, as its containers feel it, and the pool that lagand makes when nobody says which. */

const quiet = "--network=none";

describe("a size limit", () => {
  const shared = new SharedMachine({ config: BTRFS_POOL });

  /** Writes this many megabytes into a file of the volume; what dd said. */
  async function fill(
    volume: string,
    file: string,
    megabytes: number,
  ): Promise<{ readonly code: number; readonly stderr: string }> {
    return shared.host.docker(
      ...["run", "--rm", quiet, "-v", `${volume}:/v`, "busybox"],
      ...["sh", "-c", `dd if=/dev/urandom of=/v/${file} bs=1M count=${megabytes} && sync`],
    );
  }

  function status(volume: string): Promise<string> {
    return shared.docker(
      ...["volume", "inspect", "-f", "{{.Status.size}}, {{.Status.driver}}", volume],
    );
  }

  it("holds, is shown, and the other volume doesn't feel it", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "-o", "size=50M", "small");
    await shared.docker("volume", "create", "-d", "lagan", "-o", "size=100M", "other");
    expect(await status("small")).toMatch(/^50 ?M.*, btrfs$/);
    expect((await fill("small", "fits", 30)).code).toBe(0);
    const refused = await fill("small", "too-much", 30);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/No space left on device|Disk quota exceeded/);
    expect((await fill("other", "fits", 40)).code).toBe(0);
    // Room that was freed can be used again.
    await shared.docker(
      ...["run", "--rm", quiet, "-v", "small:/v", "busybox"],
      ...["sh", "-c", "rm /v/* && sync"],
    );
    expect((await fill("small", "again", 30)).code).toBe(0);
  });

  it("holds after a crash of lagand", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "-o", "size=20M", "crashed");
    await shared.host.lagand.crash();
    expect((await fill("crashed", "too-much", 40)).code).not.toBe(0);
    expect(await status("crashed")).toMatch(/^20 ?M/);
  });

  it("of a removed volume waits in the trash with it, and its name is free at once", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "-o", "size=200M", "large");
    expect((await fill("large", "file", 150)).code).toBe(0);
    await shared.docker("volume", "rm", "large");
    expect(JSON.stringify(await shared.host.lagand.get("/v1/trash"))).toContain("large");
    // The name is free at once.
    await shared.docker("volume", "create", "-d", "lagan", "-o", "size=10M", "large");
    expect(await status("large")).toMatch(/^10 ?M/);
  });
});

describe("the pool that nobody chose", () => {
  it("serves at once, and after a crash the same pool serves again", async () => {
    await using machine = await startRecordedMachine({ config: "" });
    const { host } = machine;
    await host.mustDocker("volume", "create", "-d", "lagan", "-o", "mode=0700", "data");
    const run = ["run", "--rm", quiet, "-v", "data:/v", "busybox"];
    await host.mustDocker(...run, "sh", "-c", "echo precious >/v/file");
    const loops = findLoops(host.namespace.name);
    await host.lagand.crash();
    expect(await host.mustDocker(...run, "cat", "/v/file")).toBe("precious");
    expect(findLoops(host.namespace.name)).toEqual(loops);
    expect(JSON.stringify(await host.lagand.get("/v1/doctor"))).not.toContain('"error"');
  });
});
