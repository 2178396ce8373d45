import { UsageError } from "./exit-code.ts";
import { printable, printableJson } from "./printable.ts";

/** One fact about an item of a listing. */
export interface Field<T> {
  /** Head of its column. */
  readonly head: string;
  /** For people. */
  readonly text: (item: T) => string;
}

/** The facts about an item by the names that templates use. */
export type Fields<T> = Readonly<Record<string, Field<T>>>;

/** A `--format` that was read. */
export interface Template<T> {
  /** True: it began with `table`, so there is a head and columns are aligned. */
  readonly table: boolean;
  readonly head: string;
  readonly apply: (item: T) => string;
}

/** What `--help` says of templates. */
export const TEMPLATE_HELP =
  "template: {{.Field}}, {{json .}}, \\t, \\n; with 'table ' in front: under a head";

/**
 * Reads a template. It knows `{{.Field}}`, `{{json .}}` (the whole item as the API gives it), `{{json .Field}}`,
 * `\t`, `\n` and `\\`, and nothing else.
 *
 * @throws {UsageError} for anything else, naming the fields that there are.
 */
export function parseTemplate<T>(text: string, fields: Fields<T>): Template<T> {
  const table = /^table\s/.test(text);
  const body = (table ? text.slice(6) : text).replace(/\\([tn\\])/g, (_, character: string) =>
    character === "t" ? "\t" : character === "n" ? "\n" : "\\",
  );
  const parts = body.split(/(\{\{.*?\}\})/).map((part) => parsePart(part, fields));
  return {
    table,
    head: parts.map(({ head }) => head).join(""),
    apply: (item) => parts.map((part) => part.apply(item)).join(""),
  };
}

interface Part<T> {
  readonly head: string;
  readonly apply: (item: T) => string;
}

function parsePart<T>(part: string, fields: Fields<T>): Part<T> {
  const [, action] = /^\{\{(.*)\}\}$/.exec(part) ?? [];
  if (action === undefined) {
    if (part.includes("{{") || part.includes("}}")) throw refused(part, fields);
    return { head: part, apply: () => part };
  }
  if (/^\s*json\s+\.\s*$/.test(action)) {
    return { head: "JSON", apply: (item) => printableJson(item) };
  }
  const [, json, name = ""] = /^\s*(json\s+)?\.([A-Za-z]+)\s*$/.exec(action) ?? [];
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (field === undefined) throw refused(part, fields);
  return {
    head: field.head,
    apply: (item) =>
      json === undefined ? printable(field.text(item)) : printableJson(field.text(item)),
  };
}

function refused<T>(part: string, fields: Fields<T>): UsageError {
  const names = Object.keys(fields)
    .map((name) => `.${name}`)
    .join(" ");
  return new UsageError(
    `Cannot use ${printable(part)} in --format: write {{.Field}}, {{json .}} or {{json .Field}}; fields are ${names}`,
  );
}
