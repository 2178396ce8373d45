import { chmod, chown, open, readFile, rename, stat } from "node:fs/promises";
import { Command } from "commander";
import { planContainerdConfig } from "../core/engine/containerd-config.ts";
import { Failure } from "../core/failure.ts";
import { confirm } from "./confirm.ts";
import type { Context } from "./context.ts";
import { printable } from "./printable.ts";

/** Where containerd's packages keep its configuration. */
const CONFIG_PATH = "/etc/containerd/config.toml";
/** Our door. */
const ADDRESS = "/run/lagan/snapshots.sock";

/** `lagan install` */
export function installCommand(context: Context): Command {
  const install = new Command("install").description("Set up engines to use lagan");
  install
    .command("containerd")
    .description("Add lagan to containerd's snapshotters")
    .option("--config <path>", "containerd's configuration", CONFIG_PATH)
    .option("--address <path>", "socket of lagan's door", ADDRESS)
    .option("--force", "do not ask")
    .addHelpText(
      "after",
      "\nShows what it adds, and asks. Then: systemctl restart containerd; containers go on meanwhile.",
    )
    .action((options: InstallOptions) => installContainerd(context, options));
  return install;
}

interface InstallOptions {
  readonly config: string;
  readonly address: string;
  readonly force?: true;
}

async function installContainerd(
  context: Context,
  { config, address, force }: InstallOptions,
): Promise<void> {
  const before = await readConfig(config);
  const plan = planContainerdConfig(before, address);
  if (plan.state === "present") {
    context.out(`${printable(config)} has lagan already; see: ctr plugins ls, lagan doctor\n`);
    return;
  }
  const lines = plan.added.trimEnd().split("\n");
  const head = `--- ${config}\n+++ ${config}\n@@ at its end @@\n`;
  context.out(`${printable(head.trimEnd())}\n${lines.map((line) => `+${line}\n`).join("")}`);
  if (!force && !(await confirm(context, `Write it to ${printable(config)}?`))) {
    context.out("Nothing was changed.\n");
    return;
  }
  await replace(config, plan.text, before);
  context.out("Written. Now: systemctl restart containerd\n");
}

async function readConfig(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (code === "ENOENT") return undefined;
    throw new Failure("permission_denied", `Cannot read ${path}: ${String(thrown)}`, {
      cause: thrown,
    });
  }
}

/** Whole or not at all, with the mode and owner that it has; not over what somebody wrote meanwhile. */
async function replace(path: string, text: string, before: string | undefined): Promise<void> {
  if ((await readConfig(path)) !== before) {
    throw new Failure("aborted", `Cannot write ${path}: it was changed meanwhile; try again`);
  }
  const fresh = `${path}.lagan-new`;
  try {
    const file = await open(fresh, "w", 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (before !== undefined) {
      const { mode, uid, gid } = await stat(path);
      await chown(fresh, uid, gid);
      await chmod(fresh, mode & 0o7777);
    }
    await rename(fresh, path);
  } catch (thrown) {
    throw new Failure("failed_precondition", `Cannot write ${path}: ${String(thrown)}`, {
      cause: thrown,
    });
  }
}
