import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Background } from "./background.ts";
import { eventually, mustRun, type Outcome } from "./command.ts";
import type { Machine } from "./machine.ts";

/** A containerd of a machine's own: its data on a given directory, our door as its snapshotter `lagan`. */
export class Containerd {
  readonly #machine: Machine;
  readonly #root: string;
  readonly #sandboxImage: string | undefined;
  #process: Background | undefined;

  /**
   * @param root Where its data lies: a directory of the machine.
   * @param sandboxImage The image of each pod's first container: then it serves CRI too, with our snapshotter.
   */
  constructor(machine: Machine, root: string, sandboxImage?: string) {
    this.#machine = machine;
    this.#root = root;
    this.#sandboxImage = sandboxImage;
  }

  get address(): string {
    return this.#machine.path("containerd.sock");
  }

  /** Path of its configuration. */
  get configPath(): string {
    return this.#machine.path("containerd.toml");
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    const { namespace } = this.#machine;
    const config = `version = 2
root = "${this.#root}"
state = "${this.#machine.path("containerd")}"
disabled_plugins = [${this.#sandboxImage === undefined ? '"io.containerd.grpc.v1.cri", ' : ""}"io.containerd.internal.v1.opt"]
[grpc]
  address = "${this.address}"
[proxy_plugins.lagan]
  type = "snapshot"
  address = "${this.#machine.path("run/snapshots.sock")}"
${this.#sandboxImage === undefined ? "" : cri(this.#sandboxImage)}`;
    await namespace.write("containerd.toml", config);
    this.#process = new Background(namespace.enter(["containerd", "-c", this.configPath]), {
      env: namespace.env,
      logFile: namespace.path("containerd.log"),
    });
    await eventually(
      "containerd answers",
      async () => {
        if (!this.#process?.running)
          throw new Error(`containerd ended:\n${this.#process?.logTail()}`);
        return (await this.ctr("version")).code === 0;
      },
      { timeoutMs: 30_000, everyMs: 100 },
    );
  }

  /** Waits until it reaches our door: it gives a connection one second, and tries again within three. */
  async connected(): Promise<void> {
    const snapshots = ["-n", "probe", "snapshots", "--snapshotter", "lagan"];
    await eventually("containerd is connected", async () => {
      await this.ctr(...snapshots, "rm", "probe");
      return (await this.ctr(...snapshots, "prepare", "probe")).code === 0;
    });
    await this.must(...snapshots, "rm", "probe");
  }

  async stop(): Promise<void> {
    await this.#process?.end("SIGTERM");
  }

  /** Ends it as a crash does, and starts it again. */
  async crash(): Promise<void> {
    await this.#process?.end("SIGKILL");
    await this.start();
  }

  /** containerd's own command, with our snapshotter unless another is named. */
  ctr(...args: readonly string[]): Promise<Outcome> {
    return this.#machine.run(["ctr", "--address", this.address, ...args], { timeoutMs: 300_000 });
  }

  /** {@link ctr} that must succeed: its standard output, trimmed. */
  async must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.ctr(...args);
    if (code !== 0)
      throw new Error(
        `ctr ${args.join(" ")}: ${code}\n${stdout}${stderr}\n${this.#process?.logTail()}`,
      );
    return stdout.trim();
  }

  /** Runs a container of an image to its end: its standard output, trimmed. By a file: ctr may end before it has copied all. */
  async container(image: string, command: string, snapshotter = "lagan"): Promise<string> {
    const id = `c${(++containers).toString()}`;
    const out = this.#machine.path("out");
    await mkdir(out, { recursive: true });
    const [verb = "", ...options] = runArguments(snapshotter, image, id);
    const mount = ["--mount", `type=bind,src=${out},dst=/out,options=rbind:rw`];
    const shell = ["sh", "-c", `exec >/out/${id}; ${command}`];
    await this.must(verb, ...mount, ...options, ...shell);
    return (await readFile(join(out, id), "utf8")).trim();
  }
}

let containers = 0;

function cri(sandboxImage: string): string {
  return `[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${sandboxImage}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stats_collect_period = 1
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "lagan"
`;
}

/** Arguments of `ctr run` for one that needs no network and ends. */
export function runArguments(snapshotter: string, image: string, id: string): readonly string[] {
  return ["run", "--rm", "--snapshotter", snapshotter, "--cgroup", "", image, id];
}

/**
 * Writes an OCI archive whose layers are these directories, lowest first, as tar packs them; with `.wh.` names for what a layer
 * takes away. Uncompressed, so that only the layers' cost is seen.
 *
 * @param command What its containers run unless told otherwise.
 */
export async function writeImage(
  directory: string,
  name: string,
  layers: readonly string[],
  command?: readonly string[],
): Promise<string> {
  const layout = join(directory, `${name}.oci`);
  const blobs = join(layout, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (content: string): Promise<{ digest: string; size: number }> => {
    const digest = createHash("sha256").update(content).digest("hex");
    await writeFile(join(blobs, digest), content);
    return { digest: `sha256:${digest}`, size: Buffer.byteLength(content) };
  };
  const type = "application/vnd.oci.image";
  const descriptors: { mediaType: string; digest: string; size: number }[] = [];
  for (const layer of layers) {
    const tar = join(layout, "layer.tar");
    await mustRun(["tar", "--numeric-owner", "--xattrs", "-C", layer, "-cf", tar, "."]);
    const digest = (await mustRun(["sha256sum", tar])).slice(0, 64);
    const size = Number(await mustRun(["stat", "-c", "%s", tar]));
    await mustRun(["mv", tar, join(blobs, digest)]);
    descriptors.push({ mediaType: `${type}.layer.v1.tar`, digest: `sha256:${digest}`, size });
  }
  const rootfs = { type: "layers", diff_ids: descriptors.map(({ digest }) => digest) };
  const environment = ["PATH=/bin"];
  const config = await put(
    JSON.stringify({
      ...{ architecture: "amd64", os: "linux", rootfs },
      config: { Env: environment, Cmd: command },
    }),
  );
  const manifest = await put(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: `${type}.manifest.v1+json` },
      ...{ config: { mediaType: `${type}.config.v1+json`, ...config }, layers: descriptors },
    }),
  );
  const annotations = { "io.containerd.image.name": `lagan.test/${name}:1` };
  const manifests = [{ mediaType: `${type}.manifest.v1+json`, ...manifest, annotations }];
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const archive = join(directory, `${name}.tar`);
  await mustRun(["tar", "-C", layout, "-cf", archive, "."]);
  await mustRun(["rm", "-rf", layout]);
  return archive;
}
