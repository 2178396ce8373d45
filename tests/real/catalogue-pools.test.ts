import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { Machine } from "./machine.ts";
import { findings, makeVolume, poolHealth, rest, volumeNames } from "./rest-caller.ts";
import { callPlugin } from "./unix-http.ts";

/* Rows of docs/failure-catalogue.md that concern what lies under a pool. */

const MIB = 1024 ** 2;
const TWO_POOLS =
  "pools:\n  default: { driver: directory }\n  fast: { driver: btrfs, size: 256M }\n";
const TEST_MS = 240_000;

let machine: Machine;
let undo: (() => unknown)[];
beforeEach(async () => {
  undo = [];
  machine = await Machine.create();
});
afterEach(async () => {
  for (const step of undo.reverse()) step();
  await machine[Symbol.asyncDispose]();
});

/** Runs a command in the machine that must succeed. */
async function must(...argv: readonly string[]): Promise<void> {
  const { code, stderr } = await machine.run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
}

/** Directory of a volume's content, as this process reaches it. */
async function contentOf(name: string): Promise<string> {
  const { json } = await callPlugin(machine.lagand.pluginSocketPath, "/VolumeDriver.Mount", {
    Name: name,
    ID: "someone",
  });
  return machine.namespace.inside(String(json?.["Mountpoint"]));
}

async function becomes(pool: string, state: RegExp, timeoutMs = 90_000): Promise<void> {
  let last = "";
  await eventually(
    `pool ${pool} is ${state}`,
    async () => {
      last = await poolHealth(machine.lagand, pool);
      return state.test(last);
    },
    { timeoutMs, everyMs: 200 },
  ).catch((thrown: unknown) => {
    throw new Error(`${String(thrown)}; it is ${last}`);
  });
}

it("F22 a pool that is read-only is faulted and mounts nothing; others work on, and it serves again when it takes writes", {
  timeout: TEST_MS,
}, async () => {
  const { lagand } = machine;
  await lagand.start({ config: TWO_POOLS });
  await makeVolume(lagand, "slow");
  await must(
    "mount",
    "--bind",
    machine.path("state/pools/default"),
    machine.path("state/pools/default"),
  );
  await must("mount", "-o", "remount,bind,ro", machine.path("state/pools/default"));
  await becomes("default", /^faulted: .*read-only/);
  const refused = await callPlugin(lagand.pluginSocketPath, "/VolumeDriver.Mount", {
    Name: "slow",
    ID: "someone",
  });
  expect(refused.json?.["Err"]).toContain("read-only");
  await makeVolume(lagand, "data", "fast");
  await must("umount", machine.path("state/pools/default"));
  await becomes("default", /^(ok|warning)/);
  await contentOf("slow");
});

it("F22 a pool whose file is gone, cut short or full of noise at the start is faulted and left as it is; others work on, and it serves when the file is back", {
  timeout: TEST_MS,
}, async () => {
  const { lagand } = machine;
  await lagand.start({ config: TWO_POOLS });
  await makeVolume(lagand, "data", "fast");
  await writeFile(`${await contentOf("data")}/kept`, "kept", { flush: true });
  await lagand.stop();
  const file = machine.path("state/pools/fast/pool.img");
  await must("umount", machine.path("state/pools/fast/mnt"));
  const damages = [
    ["gone", async () => undefined],
    ["cut short", () => writeFile(file, Buffer.alloc(MIB))],
    ["noise", () => writeFile(file, Buffer.alloc(64 * MIB, 0xa5))],
  ] as const;
  for (const [damage, make] of damages) {
    await rename(file, `${file}.away`);
    await make();
    await lagand.start();
    expect(await poolHealth(lagand, "fast"), damage).toMatch(/^faulted: Cannot/);
    expect(await volumeNames(lagand), damage).toContain("data");
    await makeVolume(lagand, `slow-${damage.replace(" ", "-")}`);
    await lagand.stop();
    await rm(file, { force: true });
    await rename(`${file}.away`, file);
  }
  await lagand.start();
  expect(await readFile(`${await contentOf("data")}/kept`, "utf8")).toBe("kept");
});

it("F20 a disk that fills up under a sparse pool is warned of long before; other pools work on, and it serves again when there is room", {
  timeout: TEST_MS,
}, async () => {
  const { lagand } = machine;
  const host = machine.path("host");
  await must("truncate", "-s", "512M", machine.path("host.img"));
  await must("mkfs.ext4", "-q", "-m", "0", machine.path("host.img"));
  await must("mkdir", "-p", host, machine.path("state/pools/fast"));
  await must("mount", "-o", "loop", machine.path("host.img"), host);
  await must("mount", "--bind", host, machine.path("state/pools/fast"));
  await lagand.start({ config: TWO_POOLS.replace("256M", "400M") });
  await makeVolume(lagand, "data", "fast");
  const content = await contentOf("data");
  await writeFile(`${content}/kept`, "kept", { flush: true });
  await must("fallocate", "-l", "300M", `${host}/others`);
  await becomes("fast", /^warning: .*may still grow by .*make room/);
  expect(await findings(lagand)).toMatch(/warn pool fast: .*may still grow by/);

  await machine.run(["sh", "-c", `cat /dev/zero >${host}/more`]);
  // What is written now comes to nothing. When btrfs gives up for it, the pool is faulted (tests/real/driver-btrfs.test.ts).
  await expect(
    writeFile(`${content}/large`, Buffer.alloc(128 * MIB, "x"), { flush: true }),
  ).rejects.toThrow();
  expect(await findings(lagand)).toMatch(/(warn|error) pool fast: /);
  await makeVolume(lagand, "beside");

  await must("rm", `${host}/others`, `${host}/more`);
  await becomes("fast", /^(ok|warning|up)/);
  expect(await readFile(`${await contentOf("data")}/kept`, "utf8")).toBe("kept");
  await makeVolume(lagand, "after", "fast");
});

/** Puts a FUSE file system over a directory whose server never answers. @returns What ends the server. */
async function mountDead(target: string): Promise<() => void> {
  const fd = openSync("/dev/fuse", "r+");
  let isOpen = true;
  const end = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  undo.push(end);
  const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
  const [file = "", ...args] = machine.namespace.enter([
    ...["mount", "-i", "-t", "fuse", "-o", options, "dead", target],
  ]);
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "inherit", fd] });
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
  return end;
}

it("F25 a dead file system under a pool holds up neither other pools nor the daemon, and is told", {
  timeout: TEST_MS,
}, async () => {
  const { lagand } = machine;
  await lagand.start({ config: TWO_POOLS });
  await makeVolume(lagand, "slow");
  await makeVolume(lagand, "data", "fast");
  const end = await mountDead(machine.path("state/pools/default"));
  // More callers than there are threads, before anybody knows.
  const callers = Array.from({ length: 40 }, (_, n) =>
    rest(lagand, "POST", "/v1/volumes", { name: `dead${n}` }).catch(() => undefined),
  );
  const latencies: number[] = [];
  for (let n = 0; n < 40; n++) {
    const began = performance.now();
    await makeVolume(lagand, `live${n}`, "fast");
    latencies.push(performance.now() - began);
  }
  latencies.sort((a, b) => a - b);
  await becomes("default", /^faulted: .*does not answer/);
  expect(await findings(lagand)).toMatch(/error pool default: it is faulted: .*does not answer/);
  const threads = async () => {
    const status = await readFile(`/proc/${lagand.pid}/status`, "utf8");
    return Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]);
  };
  const before = await threads();
  for (let n = 0; n < 100; n++) await poolHealth(lagand, "default");
  expect(await threads()).toBeLessThanOrEqual(before + 2);
  const metrics = await rest(lagand, "GET", "/metrics");
  expect(metrics.status).toBe(200);
  process.stdout.write(
    `  F25: creation beside a dead pool p50 ${latencies[20]?.toFixed(1)} ms, max ${latencies.at(-1)?.toFixed(1)} ms; event loop p99 ${/eventloop_lag_p99_seconds ([\d.e-]+)/.exec(metrics.body)?.[1]} s\n`,
  );
  // The dead callers wait on; a stop does not wait for them, nor for their threads: then the kernel ends it by SIGALRM.
  await lagand.stop();
  expect([0, null]).toContain(lagand.exitCode);
  end();
  await Promise.all(callers);
  await must("umount", machine.path("state/pools/default"));
  await lagand.start();
  expect(await volumeNames(lagand)).toEqual(expect.arrayContaining(["slow", "data", "live39"]));
  await eventually("nothing is half done", async () => {
    const { runningOperations } = (await lagand.get("/v1/status")) as { runningOperations: number };
    return runningOperations === 0;
  });
});
