import type { Command, Option } from "commander";
import type { RestClient } from "../api/rest/client.ts";
import type { Context } from "./context.ts";
import { DAEMON } from "./reserved.ts";
import { VERBS } from "./verbs.ts";

/** How long a shell's user is kept waiting for names, in milliseconds. */
const NAMES_TIMEOUT_MS = 1_000;

/** Names that stand for an argument, by the argument's own name in the commands. */
const NAMES: Readonly<Record<string, (client: RestClient) => Promise<readonly string[]>>> = {
  volume: async (client) => (await client.listVolumes()).map(({ name }) => name),
  ref: async (client) => [
    ...(await client.listVolumes()).map(({ name }) => name),
    ...(await refsOf(client)),
  ],
  snapshot: (client) => refsOf(client),
  image: async (client) => (await client.images.list()).flatMap(({ names, id }) => [...names, id]),
  profile: async (client) => (await client.listProfiles()).map(({ name }) => name),
  trashed: async (client) => (await client.listTrash()).flatMap(({ name, id }) => [name, id]),
  pool: async (client) => (await client.listPools()).map(({ name }) => name),
  operation: async (client) => (await client.listOperations()).map(({ id }) => id),
};

/** Snapshots by their names and ids. */
async function refsOf(client: RestClient): Promise<readonly string[]> {
  const all = await client.listAllSnapshots();
  return all.flatMap(({ volume, name, id }) => {
    const [root = ""] = volume.split("@");
    return [...(name === null ? [] : [`${root}@${name}`]), `${root}@${id}`];
  });
}

/** Options of `-o` and `--opt`. */
const VOLUME_OPTIONS = [
  "size=",
  "pool=",
  "profile=",
  "uid=",
  "gid=",
  "mode=",
  "protect=true",
  "schedule=",
  "keep=",
  "from=",
  "from-image=",
  "from-image-path=",
  "label.",
];

/**
 * Prints what can stand in place of the last of `words`, a line each. Fails silently: a shell's user has asked nothing.
 *
 * @param words What stands after `lagan`, the last one unfinished, as the shell splits it (bash splits at `=`).
 */
export async function complete(context: Context, words: readonly string[]): Promise<void> {
  const current = words.at(-1) === "=" ? "" : (words.at(-1) ?? "");
  const before = words.slice(0, -1).filter((word) => word !== "=");
  const found = await candidates(context, before, current).catch(() => []);
  const fitting = found.filter((word) => word.startsWith(current) && /^[\w.=:/@-]+$/.test(word));
  context.out(fitting.map((word) => `${word}\n`).join(""));
}

async function candidates(
  context: Context,
  before: readonly string[],
  current: string,
): Promise<readonly string[]> {
  const [noun, ...rest] = withoutHost(before);
  if (noun === undefined) {
    const flags = ["--host", "--help", "--version"];
    return current.startsWith("-") ? flags : [...Object.keys(VERBS), DAEMON];
  }
  const verb = Object.hasOwn(VERBS, noun) ? VERBS[noun] : undefined;
  if (verb === undefined) return [];
  let command = (await verb.load())(context);
  let given = rest;
  while (command.commands.length > 0) {
    const [name, ...more] = given;
    const child = command.commands.find((one) => one.name() === name);
    if (child === undefined) return command.commands.map((one) => one.name());
    command = child;
    given = more;
  }
  return ofCommand(context, command, given, current);
}

async function ofCommand(
  context: Context,
  command: Command,
  given: readonly string[],
  current: string,
): Promise<readonly string[]> {
  const last = given.at(-1) ?? "";
  const open = command.options.find((option) => takesValue(option) && isNamed(option, last));
  if (open !== undefined) return valuesOf(context, open);
  if (current.startsWith("-"))
    return [...command.options.flatMap(({ long }) => long ?? []), "--help"];
  const words = given.filter((word, index) => {
    const option = command.options.find((one) => isNamed(one, given[index - 1] ?? ""));
    return !word.startsWith("-") && !(option !== undefined && takesValue(option));
  });
  const { registeredArguments: places } = command;
  const place = places[words.length] ?? (places.at(-1)?.variadic ? places.at(-1) : undefined);
  if (place?.argChoices !== undefined) return place.argChoices;
  const names = place === undefined ? [] : await namesOf(context, place.name());
  return names.filter((name) => !words.includes(name));
}

function isNamed(option: Option, word: string): boolean {
  return word === option.long || word === option.short;
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

async function valuesOf(context: Context, option: Option): Promise<readonly string[]> {
  if (option.long === "--pool") return namesOf(context, "pool");
  if (option.long === "--profile") return namesOf(context, "profile");
  if (option.long === "--from-image") return namesOf(context, "image");
  if (option.long === "--from") return namesOf(context, "ref");
  return option.long === "--opt" ? VOLUME_OPTIONS : [];
}

async function namesOf(context: Context, what: string): Promise<readonly string[]> {
  const list = NAMES[what];
  if (list === undefined) return [];
  const late = new Promise<readonly string[]>((resolve) => {
    setTimeout(() => resolve([]), NAMES_TIMEOUT_MS).unref();
  });
  return Promise.race([list(await context.client()), late]);
}

function withoutHost(words: readonly string[]): readonly string[] {
  return words[0] === "--host" ? words.slice(2) : words;
}
