import { Failure } from "../failure.ts";
import { quote } from "../name.ts";

/** What a filter looks at: the value of a field, as `["labels", "a/b"]`; undefined when it is not there. */
export type FieldOf = (path: readonly string[]) => string | undefined;

/** True of what a filter lets through. */
export type Filter = (field: FieldOf) => boolean;

/** Longest filter, in characters, and most of them in one request. */
const FILTER_LIMIT = 16_384;
const FILTERS_LIMIT = 256;

/**
 * Filters in containerd's grammar (its package `filters`, 1.6): each is selectors joined by `,`, all of which must hold; one
 * of the filters must. A selector is a path of fields joined by `.`, alone (it is there) or with `==`, `!=` or `~=` (a regular
 * expression) and a value. Fields and values that are more than a word are quoted as in Go: `"…"`; a regular expression
 * also between `/` or `|`. No filters: everything.
 *
 * @throws {Failure} `invalid_argument` saying where one is wrong.
 */
export function parseFilters(texts: readonly string[]): Filter {
  if (texts.length > FILTERS_LIMIT) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${texts.length} filters: at most ${FILTERS_LIMIT}`,
    );
  }
  const filters = texts.map((text) => new FilterText(text).parse());
  if (filters.length === 0) return () => true;
  return (field) => filters.some((filter) => filter(field));
}

/** One filter and how far it has been read. */
class FilterText {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    if (text.length > FILTER_LIMIT) throw this.#wrong("it is too long");
  }

  parse(): Filter {
    if (this.#text === "") return () => true;
    const selectors = [this.#selector()];
    while (this.#at < this.#text.length) {
      if (!this.#take(",")) throw this.#wrong('"," or the end is expected');
      selectors.push(this.#selector());
    }
    return (field) => selectors.every((selector) => selector(field));
  }

  #selector(): Filter {
    const path = [this.#field()];
    while (this.#take(".")) path.push(this.#field());
    if (this.#take("==")) {
      const value = this.#value(false);
      return (field) => field(path) === value;
    }
    if (this.#take("!=")) {
      const value = this.#value(false);
      return (field) => (field(path) ?? "") !== value;
    }
    if (this.#take("~=")) {
      const pattern = this.#pattern(this.#value(true));
      return (field) => pattern.test(field(path) ?? "");
    }
    return (field) => field(path) !== undefined;
  }

  #field(): string {
    if (this.#text[this.#at] === '"') return this.#quoted('"');
    return this.#match(/[A-Za-z_][A-Za-z0-9_]*/y, "the name of a field");
  }

  #value(pattern: boolean): string {
    const quoteMark = this.#text[this.#at] ?? "";
    if (quoteMark === '"' || (pattern && (quoteMark === "/" || quoteMark === "|"))) {
      return this.#quoted(quoteMark);
    }
    return this.#match(/[^\s,"]+/y, "a value");
  }

  #pattern(source: string): RegExp {
    try {
      return new RegExp(source, "u");
    } catch {
      throw this.#wrong(`${quote(source)} is not a regular expression`);
    }
  }

  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #match(pattern: RegExp, what: string): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw this.#wrong(`${what} is expected`);
    this.#at += found.length;
    return found;
  }

  #quoted(mark: string): string {
    const start = this.#at;
    let out = "";
    this.#at++;
    for (;;) {
      const character = this.#text[this.#at++];
      if (character === undefined || character === "\n") {
        this.#at = start;
        throw this.#wrong("a quotation mark is not closed");
      }
      if (character === mark) return out;
      if (character === "\\") out += this.#escaped(mark);
      else out += character;
    }
  }

  /** Between `/` or `|`, only the mark itself is escaped: the rest is the regular expression's own. */
  #escaped(mark: string): string {
    const next = this.#text[this.#at++] ?? "";
    if (next === mark) return next;
    if (mark !== '"') return `\\${next}`;
    const plain = ESCAPES[next];
    if (plain !== undefined) return plain;
    const digits = { x: 2, u: 4, U: 8 }[next];
    if (digits === undefined) throw this.#wrong(`"\\${next}" is no escape`);
    const code = Number.parseInt(
      this.#match(new RegExp(`[0-9a-fA-F]{${digits}}`, "y"), "a number"),
      16,
    );
    if (code > 0x10ffff) throw this.#wrong("there is no such character");
    return String.fromCodePoint(code);
  }

  #wrong(why: string): Failure {
    return new Failure(
      "invalid_argument",
      `Cannot use filter ${quote(this.#text)}: ${why} at character ${this.#at + 1}`,
    );
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
  ...{ "\\": "\\", '"': '"', "'": "'" },
};
