import { readFile, writeFile } from "node:fs/promises";
import type { CsiHost } from "./csi-host.ts";

/** How one of csi-sanity's tests ended. */
export interface SanityOutcome {
  readonly name: string;
  readonly state: "passed" | "skipped" | "pending" | "failed";
  /** Why it was skipped or failed. */
  readonly why: string;
}

export interface SanityOptions {
  /** Path of the program. */
  readonly program: string;
  readonly block?: boolean;
  readonly sizeBytes: bigint;
  readonly parameters?: Readonly<Record<string, string>>;
  /** What a volume can be changed to. */
  readonly mutableParameters?: Readonly<Record<string, string>>;
}

/** What is left out: csi-sanity compares two messages with what their library notes in them, and never finds them equal. */
const LEFT_OUT = "should succeed when creating a snapshot with accessibility requirements";

/** As much of Ginkgo's report as is read. */
interface Spec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

/** Runs csi-sanity where the driver is. Resolves to the outcome of each of its tests. */
export async function runSanity(
  { machine, socketPath }: CsiHost,
  { program, block = false, sizeBytes, parameters = {}, mutableParameters = {} }: SanityOptions,
): Promise<readonly SanityOutcome[]> {
  // JSON is YAML.
  await writeFile(machine.path("parameters"), JSON.stringify(parameters));
  await writeFile(machine.path("mutable"), JSON.stringify(mutableParameters));
  const report = machine.path("sanity.json");
  const { stdout, stderr } = await machine.run(
    [
      program,
      `--csi.endpoint=unix://${socketPath}`,
      ...[
        `--csi.mountdir=${machine.path("target")}`,
        `--csi.stagingdir=${machine.path("staging")}`,
      ],
      `--csi.testvolumeaccesstype=${block ? "block" : "mount"}`,
      `--csi.testvolumesize=${sizeBytes}`,
      `--csi.testvolumeexpandsize=${sizeBytes * 2n}`,
      `--csi.testvolumeparameters=${machine.path("parameters")}`,
      `--csi.testvolumemutableparameters=${machine.path("mutable")}`,
      "--csi.testnodevolumeattachlimit",
      ...["--ginkgo.no-color", `--ginkgo.json-report=${report}`, `--ginkgo.skip=${LEFT_OUT}`],
    ],
    { timeoutMs: 240_000 },
  );
  const text = await readFile(report, "utf8").catch(() => {
    throw new Error(`csi-sanity wrote no report:\n${stdout}${stderr}`);
  });
  const [suite] = JSON.parse(text) as readonly { readonly SpecReports: readonly Spec[] }[];
  // What prepares the suite is told of when it failed.
  const told = suite?.SpecReports.filter(
    (one) => one.LeafNodeType === "It" || one.State !== "passed",
  );
  return (told ?? []).map(outcomeOf);
}

function outcomeOf({ ContainerHierarchyTexts, LeafNodeText, State, Failure }: Spec): SanityOutcome {
  const ended = (["passed", "skipped", "pending"] as const).find((state) => state === State);
  return {
    // The part in brackets is csi-sanity's own order of things.
    name: [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(" > ").replace(/ \[.*?\]/g, ""),
    state: ended ?? "failed",
    why: Failure?.Message ?? "",
  };
}
