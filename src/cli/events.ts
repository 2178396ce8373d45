import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import type { WireEvent } from "../api/rest/client.ts";
import { parseDurationMs } from "../core/duration.ts";
import { Failure } from "../core/failure.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./exit-code.ts";
import { printable, printableJson } from "./printable.ts";

/** How long `--follow` waits for a daemon that went away, and between two attempts, in milliseconds. */
const AWAY_LIMIT_MS = 60_000;
const RETRY_MS = 500;

interface EventsOptions {
  readonly follow?: true;
  readonly since?: string;
  readonly json?: true;
}

/** `lagan events` */
export function eventsCommand(context: Context): Command {
  return new Command("events")
    .description("Show what happened since the daemon started, as far as it is kept")
    .option("-f, --follow", "go on with what happens from now; past events only with --since")
    .option("--since <when>", "only later than a time ago (10m, 2h, 1d) or than a sequence number")
    .option("--json", "an object a line, as the API gives it")
    .action(async ({ follow, since, json }: EventsOptions) => {
      const show = (event: WireEvent): void =>
        context.out(json ? `${printableJson(event)}\n` : formatEvent(event));
      const from = parseSince(since, context.now());
      const first = since === undefined && follow ? undefined : from.sequence;
      const isWanted = ({ at }: WireEvent): boolean => Date.parse(at) >= from.atMs;
      if (follow) return followEvents(context, first, (event) => isWanted(event) && show(event));
      const client = await context.client();
      for await (const event of client.listenToEvents(first, false)) {
        if (isWanted(event)) show(event);
      }
    });
}

/** Listens until interrupted, also over a restart of the daemon. */
async function followEvents(
  context: Context,
  first: number | undefined,
  show: (event: WireEvent) => void,
): Promise<void> {
  const client = await context.client();
  let last = first;
  let seenAtMs: number | undefined;
  for (;;) {
    try {
      for await (const event of client.listenToEvents(last, true)) {
        last = event.sequence;
        seenAtMs = context.now();
        show(event);
      }
      seenAtMs = context.now();
      context.err("lagan: the daemon ended the stream; waiting for it to come back\n");
    } catch (thrown) {
      const awayMs = context.now() - (seenAtMs ?? 0);
      if (Failure.from(thrown).code !== "unavailable" || awayMs > AWAY_LIMIT_MS) throw thrown;
    }
    await sleep(RETRY_MS);
  }
}

function parseSince(
  since: string | undefined,
  nowMs: number,
): { readonly sequence: number; readonly atMs: number } {
  if (since === undefined) return { sequence: 0, atMs: 0 };
  if (/^\d{1,15}$/.test(since)) return { sequence: Number(since), atMs: 0 };
  try {
    return { sequence: 0, atMs: nowMs - parseDurationMs(since) };
  } catch {
    throw new UsageError(
      `Cannot use --since ${printable(since)}: give a time ago such as 90s, 10m, 2h or 1d, or the sequence number of an event`,
    );
  }
}

function formatEvent({ at, level, type, message }: WireEvent): string {
  const mark = level === "warning" ? "WARNING " : "";
  return `${at}  ${printable(type).padEnd(16)}  ${mark}${printable(message)}\n`;
}
