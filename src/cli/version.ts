import { Command } from "commander";
import { VERSION } from "../core/version.ts";
import type { Context } from "./context.ts";
import { tellFailure } from "./many.ts";
import { printable, printableJson } from "./printable.ts";

/** `lagan version` */
export function versionCommand(context: Context): Command {
  return new Command("version")
    .description("Show the versions of this command and of the daemon")
    .option("--json", "as an object; without a daemon its version is null")
    .action(async ({ json }: { readonly json?: true }) => {
      const daemon = await daemonVersion(context);
      if (json) {
        context.out(`${printableJson({ command: VERSION, daemon }, 2)}\n`);
        return;
      }
      context.out(`lagan    ${VERSION}\n`);
      if (daemon !== null) context.out(`lagand   ${printable(daemon)}\n`);
    });
}

async function daemonVersion(context: Context): Promise<string | null> {
  try {
    return (await (await context.client()).getStatus()).version;
  } catch (thrown) {
    tellFailure(context, thrown);
    return null;
  }
}
