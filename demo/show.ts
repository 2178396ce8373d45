import { stdout } from "node:process";

const plain = !stdout.isTTY || process.env["NO_COLOR"] !== undefined;
const paint = (code: number, text: string): string =>
  plain ? text : `\u001b[${code}m${text}\u001b[0m`;

/** Prints what the demo does and what it saw, and keeps count of what was promised. */
export class Show {
  readonly #broken: string[] = [];
  #kept = 0;
  #step = 0;

  /** Begins a step: a sentence of what a user wants. */
  step(title: string): void {
    stdout.write(`\n${paint(1, `${++this.#step}. ${title}`)}\n`);
  }

  /** A command as a user would type it. */
  command(line: string): void {
    stdout.write(`   ${paint(36, `$ ${line}`)}\n`);
  }

  /** What it printed. */
  output(text: string): void {
    for (const line of text.trimEnd().split("\n")) if (line !== "") stdout.write(`   ${line}\n`);
  }

  /** Something to know. */
  note(text: string): void {
    stdout.write(`   ${paint(2, text)}\n`);
  }

  /** Checks a promise and says how it stands. */
  promise(sentence: string, kept: boolean): void {
    if (kept) this.#kept++;
    else this.#broken.push(sentence);
    stdout.write(`   ${kept ? paint(32, "✓") : paint(31, "✗ NOT SO:")} ${sentence}\n`);
  }

  /** The end: true when everything was as promised. */
  summary(): boolean {
    const all = this.#kept + this.#broken.length;
    stdout.write(`\n${paint(1, "Summary")}: ${this.#kept} of ${all} promises kept\n`);
    for (const sentence of this.#broken) stdout.write(`   ${paint(31, "✗")} ${sentence}\n`);
    return this.#broken.length === 0 && this.#kept > 0;
  }
}
