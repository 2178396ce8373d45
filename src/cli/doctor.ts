import { Command } from "commander";
import type { WireFinding } from "../api/rest/client.ts";
import { Failure } from "../core/failure.ts";
import { type Context, paint } from "./context.ts";
import { BAD_NEWS_EXIT_CODE, EXIT_CODE } from "./exit-code.ts";
import { printable, printableJson } from "./printable.ts";

/** `lagan doctor` */
export function doctorCommand(context: Context): Command {
  return new Command("doctor")
    .description("Look the node over: what is wrong, why it matters, what to type")
    .option("--json", "a JSON array, as the API gives it")
    .addHelpText(
      "after",
      "\nEnds with 0 when nothing is an error, 1 when something is, 24 without a daemon.",
    )
    .action(async ({ json }: { readonly json?: true }) => {
      const findings = await examine(context);
      if (json) {
        context.out(`${printableJson(findings, 2)}\n`);
      } else {
        for (const finding of findings) context.out(formatFinding(context, finding));
        context.out(`\n${formatSum(findings)}\n`);
      }
      if (findings.some(({ level }) => level === "error")) context.exit(BAD_NEWS_EXIT_CODE);
    });
}

/** Without a daemon, that is the one finding. */
async function examine(context: Context): Promise<readonly WireFinding[]> {
  try {
    return await (await context.client()).examine();
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.code !== "unavailable") throw thrown;
    context.exit(EXIT_CODE.unavailable);
    return [
      {
        level: "error",
        check: "daemon",
        saw: failure.message,
        advice:
          "Containers keep the volumes that they have, but no engine can mount one. Type: systemctl status lagand; its log: journalctl -u lagand; by hand: lagan daemon",
      },
    ];
  }
}

const COLOR = { ok: "green", warn: "yellow", error: "red" } as const;

function formatFinding(context: Context, { level, check, saw, advice }: WireFinding): string {
  const mark = paint(context.terminal, COLOR[level], level.padEnd(5));
  const indent = " ".repeat(7);
  const width = (context.terminal.columns ?? 80) - indent.length;
  const [first = "", ...rest] = wrap(`${check}: ${saw}`, width);
  const lines = [...rest, ...(advice === undefined ? [] : wrap(advice, width))];
  return `${mark}  ${first}\n${lines.map((line) => `${indent}${line}\n`).join("")}`;
}

/** Breaks a text between words; a word longer than a line stays whole. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of printable(text).split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${line} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

function formatSum(findings: readonly WireFinding[]): string {
  const count = (level: WireFinding["level"]): number =>
    findings.filter((finding) => finding.level === level).length;
  const [errors, warnings] = [count("error"), count("warn")];
  if (errors + warnings === 0) return "All is well.";
  return `${errors} error${errors === 1 ? "" : "s"}, ${warnings} warning${warnings === 1 ? "" : "s"}.`;
}
