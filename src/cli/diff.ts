import { Command } from "commander";
import type { WireDiffLine } from "../api/rest/client.ts";
import { formatBytes } from "../core/size.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./exit-code.ts";
import { printable, printableJson } from "./printable.ts";

interface DiffOptions {
  readonly stat?: true;
  readonly json?: true;
}

type Change = Extract<WireDiffLine, { readonly path: string }>;
type Summary = Extract<WireDiffLine, { readonly summary: unknown }>["summary"];

const SIGNS = { added: "+", changed: "~", removed: "-" } as const;

/** `lagan diff` */
export function diffCommand(context: Context): Command {
  return new Command("diff")
    .description("What differs: + added, ~ changed, - removed, and how large files were and are")
    .argument("<ref>", "VOLUME@SNAPSHOT, or two of them as data@a...data@b")
    .argument("[ref]", "what it is compared with; else the volume as it is now")
    .option("--stat", "only how much differs")
    .option("--json", "a line of JSON for each difference, as the API gives it; a summary last")
    .addHelpText(
      "after",
      "\nExample: lagan diff data@before data   or: lagan diff data@before...data@after",
    )
    .action(async (first: string, second: string | undefined, { stat, json }: DiffOptions) => {
      if (stat === true && json === true) {
        throw new UsageError("Cannot combine --stat and --json: give one of them");
      }
      const [from, to] = pairOf(first, second);
      const client = await context.client();
      for await (const line of client.diff(from, to)) {
        if (json === true) context.out(`${printableJson(line)}\n`);
        else if ("summary" in line) context.out(formatSummary(line.summary));
        else if (stat !== true) context.out(formatChange(line));
      }
    });
}

/** `data@a data@b`, `data@a...data@b`, `data@a…`, `data@a`. */
function pairOf(first: string, second: string | undefined): readonly [string, string] {
  const [, from = first, to = ""] =
    second === undefined ? (/^(.+?)(?:\.\.\.|…)(.*)$/s.exec(first) ?? []) : [];
  const other = second ?? (to === "" ? undefined : to);
  if (other !== undefined) return [from, other];
  const [volume = "", at] = from.split("@");
  if (at !== undefined) return [from, volume];
  throw new UsageError(
    `Cannot compare ${printable(from)} with itself: give VOLUME@SNAPSHOT; to see what there is: lagan log ${printable(from)}`,
  );
}

function formatChange({ kind, path, type, bytesBefore, bytesAfter }: Change): string {
  const slash = type === "directory" ? "/" : "";
  const shown = `${SIGNS[kind]} ${printable(path)}${slash}`;
  if (type !== "file") return `${shown}\n`;
  const bytes = kind === "removed" ? bytesBefore : bytesAfter;
  const before =
    kind === "changed" && bytesBefore !== bytesAfter ? `${formatBytes(bytesBefore)} -> ` : "";
  return `${shown}   ${before}${formatBytes(bytes)}\n`;
}

function formatSummary(summary: Summary): string {
  const { added, changed, removed, bytesBefore, bytesAfter } = summary;
  if (added + changed + removed === 0) return "No difference\n";
  return `${added} added, ${changed} changed, ${removed} removed; ${formatBytes(bytesBefore)} before, ${formatBytes(bytesAfter)} now\n`;
}
