import { Command } from "commander";
import type { WireStatus } from "../api/rest/client.ts";
import { formatDuration } from "./age.ts";
import { type Context, paint } from "./context.ts";
import { printable, printableJson } from "./printable.ts";

/** `lagan status` */
export function statusCommand(context: Context): Command {
  return new Command("status")
    .description("Show the daemon in short")
    .option("--json", "as the API gives it")
    .action(async ({ json }: { readonly json?: true }) => {
      const client = await context.client();
      const status = await client.getStatus();
      context.out(
        json ? `${printableJson(status, 2)}\n` : formatStatus(context, status, client.host),
      );
    });
}

function formatStatus(context: Context, status: WireStatus, host: string): string {
  const up = formatDuration(context.now() - Date.parse(status.startedAt));
  const { volumes, trashed, runningOperations } = status;
  const lines = status.pools.map(({ name, driver, health }) => {
    const state =
      health.state === "ok"
        ? paint(context.terminal, "green", "ok")
        : `${paint(context.terminal, health.state === "faulted" ? "red" : "yellow", health.state)}: ${printable(health.why)}`;
    return `Pool ${printable(name)} (${printable(driver)}): ${state}\n`;
  });
  return [
    `lagand ${printable(status.version)} at ${printable(host)}, up ${up}\n`,
    `Volumes: ${volumes}, in the trash: ${trashed}, running operations: ${runningOperations}\n`,
    ...lines,
  ].join("");
}
