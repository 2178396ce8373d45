import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Snapshots } from "../conformance/snapshots-client.ts";
import { BuildKit, cachedSteps } from "./buildkit.ts";
import { eventually } from "./command.ts";
import { Containerd, writeImage } from "./containerd.ts";
import { goTool } from "./go-tool.ts";
import { busyboxRoot } from "./images.ts";
import { Machine } from "./machine.ts";

/*
 * BuildKit and nerdctl on a real containerd with our snapshotter, built from the Go module proxy. That takes minutes, so it is done
 * when asked for: npm run peers.
 */

const asked = process.env["LAGAN_PEERS"] === "all";
const BUILD_TOOLS_TIMEOUT_MS = 900_000;
const TEST_TIMEOUT_MS = 120_000;
const IMAGE = "lagan.test/app:1";
const BUILT = "lagan.test/built:1";
const STEPS = `RUN mkdir -p /data/1 /data/2 /data/3; for n in 1 2 3; do echo $n >/data/$n/kept; echo x >/data/$n/dropped; done
RUN rm /data/*/dropped && ln /data/1/kept /data/1/link && chown 12:34 /data/2/kept && chmod 4751 /data/2/kept
COPY hello /hello
RUN mv /data/3 /data/three && rm -r /data/1 && mkdir /data/1 && echo new >/data/1/new
RUN --mount=type=cache,target=/cache echo cached >/cache/f; cp /cache/f /cached
COPY --link hello /linked/hello
`;
const SHOW = "cd /; find data hello cached linked -type f | sort | xargs stat -c '%n %a %u:%g'";
const SHOWN = `cached 644 0:0
data/1/new 644 0:0
data/2/kept 4751 12:34
data/three/kept 644 0:0
hello 644 0:0
linked/hello 644 0:0`;

describe.runIf(asked).each(["overlay", "btrfs, size: 2G"])(
  "on %s",
  { timeout: TEST_TIMEOUT_MS },
  (driver) => {
    let machine: Machine;
    let containerd: Containerd;
    let door: Snapshots;
    let programs: Readonly<Record<"buildkitd" | "buildctl" | "nerdctl", string>>;
    let buildkit: BuildKit;
    let context: string;
    const nothingIsLeft = async () => {
      const names = async () => (await door.list()).map(({ name }) => name);
      await eventually("no snapshot is left", async () => (await names()).length === 0).catch(
        async () => expect(await names()).toEqual([]),
      );
      const layers = () => machine.mustLagan("layer", "ls", "--quiet");
      await eventually("no layer is left", async () => (await layers()) === "");
    };
    const run = (...args: readonly string[]) =>
      containerd.must(...["-n", "buildkit", "run", "--rm", "--snapshotter", "lagan"], ...args);

    beforeAll(async () => {
      const skip = (why: string): never => {
        throw new Error(why);
      };
      const tool = (name: keyof typeof programs) => goTool(name, { skip });
      programs = {
        buildkitd: await tool("buildkitd"),
        buildctl: await tool("buildctl"),
        nerdctl: await tool("nerdctl"),
      };
      machine = await Machine.create();
      context = machine.path("context");
      await busyboxRoot(machine.path("context/root"));
      await writeFile(machine.path("context/hello"), "hello\n");
      await writeImage(machine.path(), "app", [machine.path("context/root")], ["sh"]);
      await machine.mountDisk("disk");
      await machine.lagand.start({
        config: `pools:\n  default: { driver: ${driver} }\nlayers: { pool: default }\n`,
        args: ["--state-dir", machine.path("disk/state")],
      });
      containerd = new Containerd(machine, machine.path("disk/containerd"));
      await containerd.start();
      door = new Snapshots(machine.path("run/snapshots.sock"));
      const importing = ["images", "import", "--no-unpack", machine.path("app.tar")];
      await containerd.must("-n", "buildkit", ...importing);
      // Else it compares whole trees where it does not understand the mounts, and says nothing.
      const force = driver === "overlay" ? { BUILDKIT_DEBUG_FORCE_OVERLAY_DIFF: "true" } : {};
      buildkit = new BuildKit(machine, programs, containerd, force);
      await buildkit.start();
    }, BUILD_TOOLS_TIMEOUT_MS);
    afterAll(async () => {
      door.close();
      await buildkit.stop();
      await containerd.stop();
      await machine[Symbol.asyncDispose]();
    });

    const output = ["--output", `type=image,name=${BUILT},unpack=true`];

    it("BuildKit builds, takes all from its cache the second time, and what it built runs", async () => {
      await writeFile(machine.path("context/Dockerfile"), `FROM ${IMAGE}\n${STEPS}`);
      expect(cachedSteps(await buildkit.mustBuild(context, ...output))).toBe(0);
      expect(cachedSteps(await buildkit.mustBuild(context, ...output))).toBe(6);
      const shown = machine.path("shown");
      await mkdir(shown);
      const mount = `type=bind,src=${shown},dst=/shown,options=rbind:rw`;
      const script = `(${SHOW}) >/shown/tree`;
      await run("--mount", mount, "--cgroup", "", BUILT, "c1", "sh", "-c", script);
      expect(await machine.must("cat", machine.path("shown/tree"))).toBe(SHOWN);
    });

    it("a build that loses lagand in the middle goes on from its cache when it is asked for again", async () => {
      const steps = `RUN echo one >/one\nRUN touch /begun; sleep 3; echo two >/two\nRUN cat /one /two >/three\n`;
      await writeFile(machine.path("context/Dockerfile"), `FROM ${IMAGE}\n${steps}`);
      const building = buildkit.build(context, ...output);
      await eventually("the second step runs", () => hasFile(machine, "begun"));
      await machine.lagand.kill();
      const { code, stderr } = await building;
      expect(code).not.toBe(0);
      expect(stderr).toContain("unavailable");
      await machine.lagand.start();
      await containerd.connected();
      expect(cachedSteps(await buildkit.mustBuild(context, ...output))).toBeGreaterThan(0);
      await run("--cgroup", "", BUILT, "c2", "sh", "-c", "[ $(cat /three | wc -l) = 2 ]");
    });

    it("nothing of ours is left when its cache and its images are removed", async () => {
      await buildkit.stop();
      await buildkit.start();
      await buildkit.prune();
      await containerd.must("-n", "buildkit", "images", "rm", "--sync", BUILT, IMAGE);
      await nothingIsLeft();
    });

    it("nerdctl loads, runs, commits, builds and removes, and a container outlives lagand", async () => {
      const nerdctl = (...args: readonly string[]) => {
        const data = ["--data-root", machine.path("nerdctl"), "--snapshotter", "lagan"];
        const argv = [programs.nerdctl, "--address", containerd.address, ...data, ...args];
        // It calls buildctl.
        const path = `${dirname(programs.buildctl)}:${machine.namespace.env["PATH"]}`;
        const env = { BUILDKIT_HOST: buildkit.address, PATH: `${machine.path("bin")}:${path}` };
        return machine.must("env", ...Object.entries(env).map((pair) => pair.join("=")), ...argv);
      };
      await machine.must("mkdir", machine.path("bin"));
      await machine.must("ln", "-s", programs.buildctl, machine.path("bin/buildctl"));
      const network = ["--net", "host", "--cgroup-parent", `/${machine.namespace.name}`];
      await nerdctl("load", "-i", machine.path("app.tar"));
      const change = "mkdir /data; echo x >/data/x; chmod 4751 /data/x; rm -r /tmp";
      await nerdctl("run", "--name", "n1", ...network, IMAGE, "sh", "-c", change);
      await nerdctl("commit", "n1", "lagan.test/committed:1");
      const committed = ["--rm", ...network, "lagan.test/committed:1"];
      const look = "stat -c %a /data/x; [ -e /tmp ] || echo gone";
      expect(await nerdctl("run", ...committed, "sh", "-c", look)).toBe("4751\ngone");

      await writeFile(machine.path("context/Dockerfile"), `FROM scratch\nCOPY root/ /\n${STEPS}`);
      await nerdctl("build", "-t", BUILT, context);
      expect(await nerdctl("run", "--rm", ...network, BUILT, "sh", "-c", SHOW)).toBe(SHOWN);

      await nerdctl("run", "-d", "--name", "n2", ...network, BUILT, "sleep", "1000");
      await machine.lagand.crash();
      await containerd.connected();
      expect(await nerdctl("exec", "n2", "cat", "/data/1/new")).toBe("new");
      await nerdctl("rm", "-f", "n1", "n2");
      await nerdctl("rmi", "-f", IMAGE, BUILT, "lagan.test/committed:1");
      await buildkit.prune();
      await nothingIsLeft();
    });

    it("BuildKit without containerd builds straight on our socket, where nobody else uses it", async () => {
      await buildkit.stop();
      await containerd.stop();
      buildkit = new BuildKit(machine, programs, undefined);
      await machine.must("rm", "-r", machine.path("disk/buildkit"));
      await buildkit.start();
      const archive = `type=oci,dest=${machine.path("built.tar")}`;
      await buildkit.mustBuild(context, "--output", archive);
      expect(cachedSteps(await buildkit.mustBuild(context, "--output", archive))).toBe(7);
      expect(await door.list()).not.toEqual([]);
      await buildkit.prune();
      await nothingIsLeft();
    });
  },
);

/** Whether some layer has this file at its top. */
async function hasFile(machine: Machine, name: string): Promise<boolean> {
  const found = await machine.run(["find", machine.path("disk/state/pools"), "-name", name]);
  return found.stdout !== "";
}
