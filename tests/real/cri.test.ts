import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Snapshots } from "../conformance/snapshots-client.ts";
import { eventually } from "./command.ts";
import { Containerd, writeImage } from "./containerd.ts";
import { Cri } from "./cri.ts";
import { busyboxRoot } from "./images.ts";
import { Machine } from "./machine.ts";
import { Nuisance, Registry } from "./registry.ts";

/* containerd's CRI plugin, asked as a kubelet asks it, with our snapshotter for pods and images. Pods on the host's network: no CNI. */

const PAUSE = "lagan.test/pause:1";
const COMMITTED = 3;
const WRITTEN_BYTES = 8 << 20;

describe.each(["overlay", "btrfs, size: 2G"])("containerd's CRI plugin on %s", (driver) => {
  let machine: Machine;
  let containerd: Containerd;
  let cri: Cri;
  let door: Snapshots;
  const pod = { id: "", name: "pod" };
  let container = "";

  let registry: Registry;
  /** What containerd asks the registry for. */
  let asked: Nuisance;
  let app = "";
  const layersIn = async () =>
    (await machine.mustLagan("layer", "ls", "--quiet")).split("\n").filter(Boolean).length;
  const committed = async () => (await door.list()).filter(({ kind }) => kind === COMMITTED);
  const blobs = () => asked.asked.filter((path) => path.includes("/blobs/"));

  beforeAll(async () => {
    machine = await Machine.create();
    const root = await busyboxRoot(machine.path("layers/0"));
    await mkdir(machine.path("layers/1/data"), { recursive: true });
    await writeFile(machine.path("layers/1/data/file"), "of the image\n");
    const archive = await writeImage(machine.path(), "app", [root, machine.path("layers/1")]);
    await mkdir(machine.path("layout"));
    await machine.must("tar", "-xf", archive, "-C", machine.path("layout"));
    registry = await Registry.start(machine.path("registry"));
    await registry.push(machine.path("layout"), "app:1");
    asked = await Nuisance.start(registry.host);
    app = `${asked.host}/app:1`;
    await writeImage(machine.path(), "pause", [root], ["sleep", "1000000"]);
    const disk = await machine.mountDisk("disk");
    await machine.lagand.start({
      config: `pools:\n  default: { driver: ${driver} }\nlayers: { pool: default }\n`,
      args: ["--state-dir", join(disk, "state")],
    });
    containerd = new Containerd(machine, join(disk, "containerd"), PAUSE);
    await containerd.start();
    await containerd.connected();
    cri = new Cri(containerd.address, machine.namespace.name);
    door = new Snapshots(machine.path("run/snapshots.sock"));
  });
  afterAll(async () => {
    cri.close();
    door.close();
    await containerd.stop();
    await asked[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await machine[Symbol.asyncDispose]();
  });

  it("pulls an image into layers of ours; for another namespace, these are taken again", async () => {
    await cri.pull(app);
    expect((await cri.images()).get(app)).toBeGreaterThan(0);
    expect(await committed()).toHaveLength(2);
    // The configuration and two layers.
    expect(new Set(blobs()).size).toBe(3);
    const pull = ["images", "pull", "--plain-http", "--snapshotter", "lagan", app];
    await containerd.must("-n", "other", ...pull);
    expect(await committed()).toHaveLength(4);
    await eventually("each is kept once", async () => (await layersIn()) === 2);
    await containerd.must("-n", "other", "images", "rm", "--sync", app);
    expect(await committed()).toHaveLength(2);
    await cri.removeImage(app);
    expect(await committed()).toEqual([]);
  });

  it("does not bring layers that lagan image import has brought", async () => {
    await machine.mustLagan("image", "import", machine.path("app.tar"));
    asked.asked.length = 0;
    await cri.pull(app);
    expect(await committed()).toHaveLength(2);
    // The configuration alone.
    expect(new Set(blobs()).size).toBe(1);
    await machine.mustLagan("image", "rm", "lagan.test/app:1");
    expect(await layersIn()).toBe(2);
  });

  it("unpacks the pod's own image by itself", async () => {
    const pause = ["images", "import", "--no-unpack", machine.path("pause.tar")];
    await containerd.must("-n", "k8s.io", ...pause);
    await eventually("it is known", async () => (await cri.images()).has(PAUSE));
    pod.id = await cri.runPod(pod.name);
    expect(await committed()).toHaveLength(3);
  });

  it("runs a container of a pod on a layer of ours, and commands in it", async () => {
    const command = ["sleep", "1000000"];
    container = await cri.runContainer(pod, { name: "app", image: app, command });
    expect(await cri.exec(container, "cat", "/data/file")).toBe("of the image");
    const write = `dd if=/dev/urandom of=/data/own bs=1M count=${WRITTEN_BYTES >> 20} && rm /data/file && sync`;
    await cri.exec(container, "sh", "-c", write);
    expect(await cri.exec(container, "ls", "/data")).toBe("own");
  });

  it("tells what a container wrote, and what all layers have together", async () => {
    // containerd looks at the layers' sizes each second, for who asks later.
    const written = await eventually("it is counted", async () => {
      const usage = await cri.writableLayer(container);
      return usage.usedBytes >= WRITTEN_BYTES && usage;
    });
    expect(written.usedBytes).toBeLessThan(WRITTEN_BYTES * 1.1);
    const all = await eventually("the images are counted", async () => {
      const usage = await cri.imageFileSystem();
      return usage.usedBytes > written.usedBytes && usage;
    });
    expect(all.mountPoint).toMatch(/io\.containerd\.snapshotter\.v1\.lagan$/);
  });

  it("a pod outlives lagand and containerd, killed one after the other", async () => {
    await machine.lagand.crash();
    expect(await cri.exec(container, "ls", "/data")).toBe("own");
    await containerd.crash();
    await containerd.connected();
    await eventually("CRI answers", () =>
      cri.images().then(
        () => true,
        () => false,
      ),
    );
    expect(await cri.exec(container, "ls", "/data")).toBe("own");
  });

  it("a container that is made again has the image's content, and nothing of the one before", async () => {
    await cri.removeContainer(container);
    const command = ["sleep", "1000000"];
    container = await cri.runContainer(pod, { name: "again", image: app, command });
    expect(await cri.exec(container, "ls", "/data")).toBe("file");
  });

  it("leaves nothing of ours when pods and images are removed", async () => {
    await cri.removePod(pod.id);
    for (const image of [app, PAUSE]) await cri.removeImage(image);
    await eventually("no snapshot is left", async () => (await door.list()).length === 0);
    await eventually("no layer is left", async () => (await layersIn()) === 0);
  });
});
