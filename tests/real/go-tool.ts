import { run } from "./command.ts";

/** A program that `tools/go-tool` knows. */
type GoTool = "csi-sanity" | "helm" | "buildkitd" | "buildctl" | "nerdctl";

/** What ends a test that cannot be run, with the reason. */
interface Skipping {
  readonly skip: (why: string) => never;
}

/** How long a program may take to build, in milliseconds. */
export const BUILD_TIMEOUT_MS = 300_000;

/**
 * Where a program of the Go module proxy is, built if need be (`tools/go-tool`). Where it cannot be had, the test is
 * skipped with the reason; not with `CI=true`: there it fails.
 */
export async function goTool(name: GoTool, { skip }: Skipping): Promise<string> {
  const { code, stdout, stderr } = await run(["bash", "tools/go-tool", name], {
    timeoutMs: BUILD_TIMEOUT_MS,
  });
  if (code === 0) return stdout.trim();
  if (code !== 3 || process.env["CI"] === "true") throw new Error(`tools/go-tool: ${stderr}`);
  return skip(`not to be had here: ${stderr.trim()}`);
}
