import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { CSI_DRIVER_NAME } from "../../src/api/csi/door.ts";
import { parseConfig } from "../../src/host/config.ts";
import { run } from "../real/command.ts";
import { BUILD_TIMEOUT_MS, goTool } from "../real/go-tool.ts";

const FOLDER = "deploy/kubernetes";
const CHART = `${FOLDER}/lagan`;

/** As much of a Kubernetes object as is looked at here. */
interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: whatever its kind says.
  readonly [key: string]: any;
}

function resourcesOf(file: string): readonly Resource[] {
  return parseAllDocuments(readFileSync(file, "utf8")).map((document) => {
    expect([...document.errors, ...document.warnings], file).toEqual([]);
    return document.toJS() as Resource;
  });
}

const filesOf = (folder: string) => readdirSync(folder).map((name) => join(folder, name));
const ofKind = (kind: string, all: readonly Resource[]) => all.filter((one) => one.kind === kind);

const MANIFESTS = filesOf(`${FOLDER}/manifests`);
const EXAMPLES = filesOf(`${FOLDER}/examples`);
const whole = resourcesOf(`${FOLDER}/manifests/lagan.yaml`);
const examples = EXAMPLES.flatMap(resourcesOf);

describe.each(MANIFESTS)("%s", (file) => {
  const all = resourcesOf(file);

  it("has one object of each kind and name", () => {
    const names = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names.length).toBeGreaterThan(7);
    expect(new Set(names).size).toBe(names.length);
  });

  it("calls the driver by one name", () => {
    const [driver, ...others] = ofKind("CSIDriver", all);
    expect(others).toEqual([]);
    expect(driver?.metadata.name).toBe(CSI_DRIVER_NAME);
    const classes = ofKind("StorageClass", all).map(({ provisioner }) => provisioner);
    const snapshots = ofKind("VolumeSnapshotClass", all).map((one) => one["driver"]);
    expect(new Set([...classes, ...snapshots])).toEqual(new Set([driver?.metadata.name]));
  });

  it("shows every sidecar the socket at the path that the kubelet is told", () => {
    const [{ spec }] = ofKind("DaemonSet", all) as [Resource];
    const { volumes, containers } = spec.template.spec;
    const socket = volumes.find((volume: Resource) => volume["name"] === "socket").hostPath.path;
    for (const { name, args, volumeMounts } of containers) {
      expect(args, name).toContain("--csi-address=/csi/csi.sock");
      expect(volumeMounts, name).toContainEqual({ name: "socket", mountPath: "/csi" });
    }
    const [registrar] = containers;
    // Where the daemon has it: csi.sock in its run directory.
    expect(socket).toBe(parseConfig("").runDir);
    expect(registrar.args).toContain(`--kubelet-registration-path=${socket}/csi.sock`);
  });

  it("lets the sidecars be who they are bound to", () => {
    const [account] = ofKind("ServiceAccount", all);
    const { name, namespace } = account?.metadata ?? {};
    for (const binding of [...ofKind("ClusterRoleBinding", all), ...ofKind("RoleBinding", all)]) {
      expect(binding["subjects"]).toEqual([{ kind: "ServiceAccount", name, namespace }]);
      const roles = ofKind(binding["roleRef"].kind, all).map((role) => role.metadata.name);
      expect(roles).toContain(binding["roleRef"].name);
    }
    const [{ spec }] = ofKind("DaemonSet", all) as [Resource];
    expect(spec.template.spec.serviceAccountName).toBe(name);
    expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels);
  });
});

it("has examples of every way to use a claim", () => {
  const names = EXAMPLES.map((file) => file.slice(`${FOLDER}/examples/`.length, -".yaml".length));
  const wanted = ["rwo", "rwx", "rwop", "block", "clone", "snapshot", "restore", "expand"];
  expect(names.toSorted()).toEqual(wanted.toSorted());
});

it("has examples that name only what is there", () => {
  const all = [...whole, ...examples];
  const names = (kind: string) => ofKind(kind, all).map(({ metadata }) => metadata.name);
  for (const { metadata, spec } of ofKind("PersistentVolumeClaim", examples)) {
    expect(names("StorageClass"), metadata.name).toContain(spec.storageClassName);
    const { dataSource } = spec;
    if (dataSource !== undefined) expect(names(dataSource.kind)).toContain(dataSource.name);
  }
  for (const { spec } of ofKind("VolumeSnapshot", examples)) {
    expect(names("VolumeSnapshotClass")).toContain(spec.volumeSnapshotClassName);
    expect(names("PersistentVolumeClaim")).toContain(spec.source.persistentVolumeClaimName);
  }
  const pods = ofKind("Pod", examples).map(({ spec }) => spec);
  const deployed = ofKind("Deployment", examples).map(({ spec }) => spec.template.spec);
  for (const { volumes, containers } of [...pods, ...deployed]) {
    for (const { persistentVolumeClaim } of volumes) {
      expect(names("PersistentVolumeClaim")).toContain(persistentVolumeClaim.claimName);
    }
    const own = volumes.map((volume: Resource) => volume["name"]);
    for (const { volumeMounts = [], volumeDevices = [] } of containers) {
      for (const { name } of [...volumeMounts, ...volumeDevices]) expect(own).toContain(name);
    }
  }
  const [driver] = ofKind("CSIDriver", whole);
  for (const { provisioner } of ofKind("StorageClass", examples)) {
    expect(provisioner).toBe(driver?.metadata.name);
  }
});

it("names in the guide the sidecars that are deployed", () => {
  const guide = readFileSync("docs/guides/kubernetes.md", "utf8");
  const [{ spec }] = ofKind("DaemonSet", whole) as [Resource];
  for (const { image } of spec.template.spec.containers) {
    const [, name, tag] = /([^/:]+):([^:]+)$/.exec(image) ?? [];
    expect(guide).toContain(`${name} ${tag}`);
  }
});

it("has the manifests that the chart gives", { timeout: BUILD_TIMEOUT_MS }, async (context) => {
  await goTool("helm", context);
  const fresh = mkdtempSync(join(tmpdir(), "lagan-manifests-"));
  try {
    const { code, stderr } = await run(["bash", "tools/generate-manifests", fresh]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const contents = (folder: string) =>
      Object.fromEntries(
        readdirSync(folder).map((n) => [n, readFileSync(join(folder, n), "utf8")]),
      );
    expect(contents(`${FOLDER}/manifests`)).toEqual(contents(fresh));
  } finally {
    rmSync(fresh, { recursive: true });
  }
});

it.for([
  ["an unknown value", "socketDir=/run/x"],
  ["a relative path", "socketDirectory=run/lagan"],
  ["an image without a tag", "images.resizer=registry.k8s.io/sig-storage/csi-resizer"],
  ["a class without a name", "storageClasses[0].parameters.pool=fast"],
  ["a parameter that is no text", "storageClasses[0].name=a,storageClasses[0].parameters.uid=7"],
  ["a policy that is none", "snapshotClasses[0].name=a,snapshotClasses[0].deletionPolicy=Keep"],
] as const)("refuses %s", { timeout: BUILD_TIMEOUT_MS }, async ([, set], context) => {
  const helm = await goTool("helm", context);
  const argv = [helm, "template", "x", CHART, "--kube-version", "1.34.0", "--set", set];
  const { code, stderr } = await run(argv);
  expect(code).not.toBe(0);
  expect(stderr).toContain("values don't meet the specifications of the schema");
});
