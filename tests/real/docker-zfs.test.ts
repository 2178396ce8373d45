import { describe, expect, it } from "vitest";
import { Background } from "./background.ts";
import { eventually } from "./command.ts";
import { SharedMachine } from "./recorded-machine.ts";
import { poolHealth, rest } from "./rest-caller.ts";

/* Volumes that are datasets, of a zfs-fuse that is started after lagand, and crashes. */

const ZFS_POOL = "pools:\n  default:\n    driver: zfs\n    size: 512M\n";
const PATIENCE = { timeoutMs: 50_000 };

describe("a volume in ZFS", () => {
  const shared = new SharedMachine({ config: ZFS_POOL });
  const run = (volume: string, command: string) =>
    shared.host.docker(
      ...["run", "--rm", "--network=none", "-v", `${volume}:/v`, "busybox", "sh", "-c", command],
    );
  const create = (...args: readonly string[]) =>
    shared.docker("volume", "create", "-d", "lagan", ...args);
  const take = async (volume: string): Promise<string> => {
    const { status, body } = await rest(
      ...([shared.host.lagand, "POST", `/v1/volumes/${volume}/snapshots`, {}] as const),
    );
    expect(status, body).toBe(201);
    return String(/"id":"([^"]+)"/.exec(body)?.[1]);
  };
  const isUp = async () => (await poolHealth(shared.host.lagand, "default")).startsWith("ok");

  let zfs: Background | undefined;
  const startZfs = async (): Promise<void> => {
    const { namespace } = shared.host;
    const script =
      "mkdir -p /var/run/zfs /var/lock/zfs /var/lib/zfs; exec zfs-fuse --no-daemon --no-kstat-mount";
    zfs = new Background(namespace.enter(["sh", "-c", script]), {
      ...{ env: namespace.env, logFile: namespace.path("zfs-fuse.log") },
    });
    await eventually("the pool is up", isUp, PATIENCE);
  };

  it("waits for zfs-fuse, and says so", async () => {
    const health = await poolHealth(shared.host.lagand, "default");
    expect(health).toContain("faulted");
    expect(health).toContain("systemctl start zfs-fuse");
    await startZfs();
    await create("first");
    expect((await run("first", "ls -A /v")).stdout).toBe("");
  });

  it("is full at its size, and its neighbor does not feel it", async () => {
    await create("-o", "size=20M", "small");
    await create("other");
    const fill = (volume: string, megabytes: number) =>
      run(volume, `dd if=/dev/urandom of=/v/$$.${megabytes} bs=1M count=${megabytes}`);
    const refused = await fill("small", 40);
    expect(refused.stderr).toContain("Disk quota exceeded");
    expect((await fill("other", 40)).code).toBe(0);
    expect((await run("small", "rm /v/* && ls -A /v")).stdout).toBe("");
    expect((await fill("small", 10)).code).toBe(0);
  });

  it("is snapshotted in use, cloned and restored, and stays with a container through a crash of lagand", async () => {
    await create("-o", "mode=0751", "-o", "uid=7", "data");
    const write =
      "n=0; while :; do n=$((n+1)); echo $n >/v/now; mv /v/now /v/count; sleep 0.1; done";
    const quiet = ["--network=none", "-v", "data:/v", "busybox", "sh", "-c", write] as const;
    const count = async (volume: string) => Number((await run(volume, "cat /v/count")).stdout);
    await shared.docker("run", "-d", "--name", "writer", ...quiet);
    await eventually("it writes", async () => (await count("data")) > 3);
    const before = await count("data");
    const snapshot = await take("data");
    const after = await count("data");
    await shared.host.lagand.crash();
    await eventually("it writes on", async () => (await count("data")) > after);
    await create("-o", `from=data@${snapshot}`, "copy");
    expect(await count("copy")).toBeGreaterThanOrEqual(before);
    expect(await count("copy")).toBeLessThanOrEqual(after);
    expect((await run("copy", "stat -c %a:%u /v")).stdout).toBe("751:7\n");
    await shared.docker("rm", "-f", "writer");
    const restored = await rest(
      ...([shared.host.lagand, "POST", "/v1/volumes/data/restore", { snapshot }] as const),
    );
    expect(restored.status, restored.body).toBe(200);
    expect(await count("data")).toBeLessThanOrEqual(after);
    for (const volume of ["data", "copy"]) await shared.docker("volume", "rm", volume);
  });

  it("comes back after a crash of zfs-fuse, with what was synced", async () => {
    await create("kept");
    expect((await run("kept", "echo kept | dd of=/v/file conv=fsync")).code).toBe(0);
    await zfs?.end("SIGKILL");
    expect((await run("kept", "cat /v/file")).code).not.toBe(0);
    await eventually("the pool is faulted", async () => !(await isUp()), PATIENCE);
    await startZfs();
    expect((await run("kept", "cat /v/file")).stdout).toBe("kept\n");
    await shared.host.lagand.stop();
    await shared.host.lagand.start();
    expect((await run("kept", "cat /v/file")).stdout).toBe("kept\n");
  });
});
