import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hostLayerTar } from "../../src/host/layer-tar.ts";
import { command } from "../conformance/host-machine.ts";
import { LayerDisk } from "../conformance/layer-disk.ts";
import { type TreeStep, takeSteps, treeSteps } from "../conformance/layer-tree.ts";
import { describeTree } from "../conformance/rich-tree.ts";

/* Layers of ours in containerd's hands, and its in ours: a daemon of the test's own, on its built-in overlayfs snapshotter. */

const CONTAINERD = "containerd";
const CTR = "ctr";
const RUNS = 6;
const ALL = { tarBytes: null };
const { signal } = new AbortController();

let disk: LayerDisk;
let daemon: ChildProcess;
let home: string;

beforeAll(async () => {
  disk = await LayerDisk.make("overlay on ext4");
  home = disk.machine.directory;
  // Its state on the disk of the test as well: overlay lies on no other overlay.
  const root = `${home}/disk/containerd`;
  const config = [
    ...["version = 2", `root = "${root}"`, `state = "${home}/state"`],
    ...["disabled_plugins = [", '"io.containerd.grpc.v1.cri"', "]"],
    ...["[grpc]", `address = "${home}/c.sock"`],
    ...["[ttrpc]", `address = "${home}/t.sock"`],
  ];
  writeFileSync(`${home}/config.toml`, config.join("\n"));
  const argv = ["--config", `${home}/config.toml`, "--log-level", "error"];
  daemon = spawn(CONTAINERD, argv, { stdio: "ignore" });
  for (let tries = 0; !existsSync(`${home}/c.sock`) || !isUp(); tries++) {
    if (tries > 200 || daemon.exitCode !== null) throw new Error("containerd does not start");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

afterAll(async () => {
  const ended = new Promise((resolve) => daemon.once("exit", resolve));
  daemon.kill("SIGTERM");
  await ended;
  await disk.cleanup();
});

function ctr(...argv: readonly string[]): Buffer {
  const all = ["--address", `${home}/c.sock`, ...argv];
  return execFileSync(CTR, all, {
    maxBuffer: 256 * 1024 ** 2,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function isUp(): boolean {
  try {
    ctr("version");
    return true;
  } catch {
    return false;
  }
}

/** Writes an image of plain layers as an OCI layout, and imports it. @returns The chain ids, lowest first. */
async function importImage(name: string, layers: readonly string[]): Promise<readonly string[]> {
  const layout = disk.directory();
  mkdirSync(`${layout}/blobs/sha256`, { recursive: true });
  const put = (bytes: Buffer | string, mediaType: string) => {
    const digest = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(`${layout}/blobs/sha256/${digest}`, bytes);
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(bytes) };
  };
  const kind = "application/vnd.oci.image";
  const descriptors = [];
  for (const layer of layers) {
    const hash = createHash("sha256");
    for await (const piece of createReadStream(layer)) hash.update(piece);
    const digest = hash.digest("hex");
    execFileSync("cp", [layer, `${layout}/blobs/sha256/${digest}`]);
    const size = statSync(layer).size;
    descriptors.push({ mediaType: `${kind}.layer.v1.tar`, digest: `sha256:${digest}`, size });
  }
  const diffIds = descriptors.map(({ digest }) => digest);
  const config = put(
    JSON.stringify({
      ...{ architecture: "amd64", os: "linux", config: {} },
      rootfs: { type: "layers", diff_ids: diffIds },
    }),
    `${kind}.config.v1+json`,
  );
  const manifestType = `${kind}.manifest.v1+json`;
  const manifest = put(
    JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers: descriptors }),
    manifestType,
  );
  const annotations = { "org.opencontainers.image.ref.name": name };
  const platform = { architecture: "amd64", os: "linux" };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations, platform }] };
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
  writeFileSync(`${layout}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  execFileSync("tar", ["-cf", `${layout}.tar`, "-C", layout, "."]);
  ctr(
    "images",
    "import",
    "--platform",
    "linux/amd64",
    "--base-name",
    "test/image",
    `${layout}.tar`,
  );
  let chain = "";
  return diffIds.map((id) => {
    const next = chain === "" ? id : `sha256:${sha256(`${chain} ${id}`)}`;
    chain = next;
    return next;
  });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** What containerd keeps of a tree: not what its root directory is, nor holes. */
function kept(lines: readonly string[]): readonly string[] {
  return lines.slice(1).map((line) => line.replace(/ (true|false) /, " "));
}

it("containerd unpacks our layers to the same trees, and we apply its", async () => {
  let count = 0;
  const property = fc.asyncProperty(treeSteps, treeSteps, async (before, after) => {
    const parent = disk.tree();
    takeSteps(parent, before.filter(isForContainerd));
    const child = disk.child(parent);
    takeSteps(child, after.filter(isForContainerd));
    const wanted = kept(describeTree(child));
    const layers = [`${disk.directory()}/1.tar`, `${disk.directory()}/2.tar`] as const;
    await writeFile(layers[0], hostLayerTar.diff(parent, null, signal));
    await writeFile(layers[1], hostLayerTar.diff(child, parent, signal));
    const [lower = "", upper = ""] = await importImage(`v${count++}`, layers);
    const view = disk.directory();
    const key = `view-${count}`;
    const mounting = ctr("snapshots", "prepare", "--target", view, key, upper).toString();
    execFileSync("sh", ["-c", mounting]);
    try {
      expect(kept(describeTree(view))).toEqual(wanted);
    } finally {
      await command("umount", view);
    }
    const theirs = ctr(
      "snapshots",
      "diff",
      "--media-type",
      "application/vnd.oci.image.layer.v1.tar",
      lower,
      upper,
    );
    const to = disk.child(parent);
    await hostLayerTar.apply(
      to,
      (async function* () {
        yield theirs;
      })(),
      ALL,
      signal,
    );
    expect(kept(describeTree(to)).map(inItsLayer)).toEqual(wanted.map(inItsLayer));
    ctr("snapshots", "rm", key);
  });
  await fc.assert(property, { numRuns: RUNS });
}, 300_000);

/** Its tar reader takes an attribute without a value for one that is to be removed. */
function isForContainerd(step: TreeStep): boolean {
  return step.do !== "acl" && !(step.do === "attribute" && step.value === "");
}

/** Its own layers have of all attributes only capabilities, and whole seconds. */
function inItsLayer(line: string): string {
  return line
    .replace(/(user|trusted)\.[^ ,]*,?/g, "")
    .replace(/,$/, "")
    .replace(/( \d{5,6} \d+ \d+ )(-?\d+)/, (_, facts, ns) => facts + secondsOf(BigInt(ns)));
}

function secondsOf(ns: bigint): bigint {
  const NS_PER_S = 1_000_000_000n;
  return (ns - (((ns % NS_PER_S) + NS_PER_S) % NS_PER_S)) / NS_PER_S;
}
