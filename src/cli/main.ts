import { Command, CommanderError } from "commander";
import { Failure } from "../core/failure.ts";
import { VERSION } from "../core/version.ts";
import type { Context } from "./context.ts";
import { USAGE_EXIT_CODE, UsageError } from "./exit-code.ts";
import { tellFailure } from "./many.ts";
import { printable } from "./printable.ts";
import { COMPLETE, DAEMON, NOMAD } from "./reserved.ts";
import { HELP, VERBS } from "./verbs.ts";

/**
 * Runs one command line and sets the process's exit code.
 *
 * @param argv What stands after `lagan`.
 */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (`lagan volume ls | head -1`) is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  if (argv[0] === DAEMON) {
    const { becomeDaemon } = await import("./daemon.ts");
    return becomeDaemon(argv.slice(1));
  }
  let host: string | undefined;
  const context = contextOf(() => host);
  const program = programOf();
  try {
    if (argv[0] === COMPLETE) {
      const { complete } = await import("./complete.ts");
      if (argv[1] === "--host") host = argv[2];
      return await complete(context, argv.slice(1));
    }
    if (argv[0] === NOMAD) {
      const { nomadHostVolume } = await import("./nomad.ts");
      return await nomadHostVolume(context, argv[1], process.env);
    }
    for (const [name, verb] of Object.entries(VERBS)) {
      const meant = argv.includes(name);
      const command = meant ? (await verb.load())(context) : new Command(name);
      program.addCommand(configured(command, `lagan ${name}`));
    }
    program.hook("preAction", () => {
      host = program.opts()["host"];
    });
    await program.parseAsync(argv.map(expanded), { from: "user" });
  } catch (thrown) {
    tell(context, thrown);
  }
}

/** `--protect=false` is what people type, and messages say; a flag with `--no-` is what cannot swallow a name. */
function expanded(word: string): string {
  if (word === "--protect=false") return "--no-protect";
  return word === "--protect=true" ? "--protect" : word;
}

function programOf(): Command {
  const program = new Command("lagan")
    .option("--host <address>", "the daemon, unix:///PATH")
    .version(VERSION, "--version")
    .helpCommand(false);
  program.helpInformation = () => HELP;
  return configured(program, "lagan");
}

/** Errors in one line after `lagan:`, and thrown, so that the exit code is ours. */
function configured(command: Command, path: string): Command {
  command
    .exitOverride()
    .helpCommand(false)
    .configureOutput({
      outputError: (text, write) => {
        const lines = text
          .trim()
          .replace(/^error: /, "")
          .split("\n")
          .map(printable);
        write(`lagan: ${lines.join(" ")}; see: ${path} --help\n`);
      },
    });
  for (const child of command.commands) configured(child, `${path} ${child.name()}`);
  return command;
}

function contextOf(host: () => string | undefined): Context {
  return {
    client: async () => {
      const { RestClient } = await import("../api/rest/client.ts");
      try {
        return new RestClient(host() ?? hostOf(process.env));
      } catch (thrown) {
        throw new UsageError(Failure.from(thrown).message);
      }
    },
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    exit: (code) => {
      process.exitCode ||= code;
    },
    now: () => Date.now(),
    terminal: {
      columns: process.stdout.isTTY ? process.stdout.columns : undefined,
      color: process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === "",
      progress: process.stderr.isTTY === true,
      interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    },
  };
}

function hostOf(environment: NodeJS.ProcessEnv): string | undefined {
  const { LAGAN_HOST: host, LAGAN_RUN_DIR: runDir } = environment;
  if (host) return host;
  return runDir ? `unix://${runDir}/lagan.sock` : undefined;
}

function tell(context: Context, thrown: unknown): void {
  if (thrown instanceof CommanderError) {
    // Help and version that were asked for end here too; what is wrong was told where it was found.
    context.exit(thrown.exitCode === 0 ? 0 : USAGE_EXIT_CODE);
  } else if (thrown instanceof UsageError) {
    context.err(`lagan: ${thrown.message}\n`);
    context.exit(USAGE_EXIT_CODE);
  } else {
    tellFailure(context, Failure.from(thrown));
  }
}
