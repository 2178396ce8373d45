import { Failure } from "../failure.ts";
import { quote } from "../name.ts";

/**
 * The rules of retention, as users of restic and borg know them: `last=4` keeps the last four, `daily=7` the newest of
 * each of the last seven days that have one, and so on. Their order is the one in which they are written.
 */
export const KEEP_RULES = [
  "last",
  "minutely",
  "hourly",
  "daily",
  "weekly",
  "monthly",
  "yearly",
] as const;

export type KeepRule = (typeof KEEP_RULES)[number];

/** How many each rule keeps; a rule that is absent keeps none. Null: all of them, for ever. */
export type Keep = Readonly<Partial<Record<KeepRule, number>>> | null;

/** What is kept when a schedule does not say. */
export const DEFAULT_KEEP: Keep = { last: 4, hourly: 24, daily: 7, weekly: 4 };

/** Most that one rule can keep. */
export const KEEP_LIMIT = 10_000;

const RULE = /^([a-z]+)=(\d{1,6})$/;

/**
 * Reads `all`, or rules with commas between: `RULE=COUNT[,RULE=COUNT…]`, each rule of {@link KEEP_RULES} at most once, with
 * a count from 1 to {@link KEEP_LIMIT}; blanks around the commas are allowed.
 *
 * @throws {Failure} `invalid_argument` naming the part that is wrong, and what is allowed.
 */
export function parseKeep(text: string): Keep {
  if (text.trim() === "all") return null;
  const keep: Partial<Record<KeepRule, number>> = {};
  for (const part of text.split(",").slice(0, KEEP_RULES.length + 1)) {
    const [, rule = "", digits = ""] = RULE.exec(part.trim()) ?? [];
    const count = Number(digits);
    if (!isRule(rule) || count < 1 || count > KEEP_LIMIT) throw refused(part);
    if (keep[rule] !== undefined) throw refused(part, `${rule} is there twice`);
    keep[rule] = count;
  }
  return inOrder(keep);
}

/** The text that {@link parseKeep} reads as the same. */
export function formatKeep(keep: Keep): string {
  if (keep === null) return "all";
  return Object.entries(inOrder(keep) ?? {})
    .map(([rule, count]) => `${rule}=${count}`)
    .join(",");
}

function inOrder(keep: NonNullable<Keep>): Keep {
  return Object.fromEntries(
    KEEP_RULES.flatMap((rule) => (keep[rule] === undefined ? [] : [[rule, keep[rule]]])),
  );
}

function isRule(text: string): text is KeepRule {
  return KEEP_RULES.some((rule) => rule === text);
}

function refused(part: string, why?: string): Failure {
  return new Failure(
    "invalid_argument",
    `Cannot use keep=${quote(part.trim())}: ${why ?? `give all, or rules such as hourly=24,daily=7,weekly=4; there are ${KEEP_RULES.join(", ")}, each with 1 to ${KEEP_LIMIT}`}`,
  );
}
