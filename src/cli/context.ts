import type { RestClient } from "../api/rest/client.ts";

/** What a verb is given: the daemon, and where to write. */
export interface Context {
  /** Loaded when first asked for: help and completion of flags need no daemon. @throws {UsageError} for a bad address. */
  client(): Promise<RestClient>;
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Sets the code that the process ends with; the first bad one stays. */
  exit(code: number): void;
  now(): number;
  readonly terminal: Terminal;
}

/** Where the output goes. */
export interface Terminal {
  /** Width; undefined when it is no terminal, and nothing is cut. */
  readonly columns: number | undefined;
  readonly color: boolean;
  /** True when a line of progress can be drawn anew. */
  readonly progress: boolean;
  /** True when somebody can be asked. */
  readonly interactive: boolean;
}

const COLORS = { red: 31, green: 32, yellow: 33 } as const;

/** `text` in a color, where colors are wanted. */
export function paint(terminal: Terminal, color: keyof typeof COLORS, text: string): string {
  return terminal.color ? `\x1b[${COLORS[color]}m${text}\x1b[0m` : text;
}
