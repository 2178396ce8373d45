import { describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { findLoops } from "./leftovers.ts";
import { SharedMachine } from "./recorded-machine.ts";

/* Volumes that are images: mounted by lagand while a container has them, and only then. */

const LOOP_POOL = "pools:\n  default:\n    driver: loop\n    size: 64M\n";
const quiet = "--network=none";

describe("a volume in an image", () => {
  const shared = new SharedMachine({ config: LOOP_POOL });
  const run = (volume: string, command: string) =>
    shared.host.docker(
      ...["run", "--rm", quiet, "-v", `${volume}:/v`, "busybox", "sh", "-c", command],
    );
  const loops = () => findLoops(shared.host.namespace.name);

  it("is full at its size, and its neighbor does not feel it", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "-o", "size=50M", "small");
    await shared.docker("volume", "create", "-d", "lagan", "other");
    const fill = (volume: string, megabytes: number) =>
      run(volume, `dd if=/dev/zero of=/v/$$.${megabytes} bs=1M count=${megabytes} && sync`);
    expect((await fill("small", 30)).code).toBe(0);
    const refused = await fill("small", 40);
    expect(refused.stderr).toContain("No space left on device");
    expect((await fill("other", 40)).code).toBe(0);
    expect((await run("small", "rm /v/* && ls -A /v")).stdout).toBe("");
    expect((await fill("small", 30)).code).toBe(0);
  });

  it("stays with a container through a crash of lagand, and is let go after the last", async () => {
    await shared.docker(
      "volume",
      "create",
      "-d",
      "lagan",
      "-o",
      "mode=0751",
      "-o",
      "uid=7",
      "kept",
    );
    const write =
      "n=0; while :; do n=$((n+1)); echo $n >/v/now; mv /v/now /v/count; sleep 0.1; done";
    const start = ["run", "-d", "--name", "writer", quiet, "-v", "kept:/v", "busybox"] as const;
    await shared.docker(...start, "sh", "-c", write);
    await shared.host.lagand.crash();
    const count = async () => Number((await run("kept", "cat /v/count")).stdout);
    const before = await count();
    await eventually("it writes on", async () => (await count()) > before);
    expect((await run("kept", "stat -c %a:%u /v")).stdout).toBe("751:7\n");
    await shared.docker("rm", "-f", "writer");
    expect(await count()).toBeGreaterThan(before);
    await eventually("the image is let go", () => loops().length === 0, { timeoutMs: 90_000 });
    await shared.docker("volume", "rm", "kept");
    expect(JSON.stringify(await shared.host.lagand.get("/v1/trash"))).toContain("kept");
  });
});
