/** A planted bug: where, what it replaces (found exactly once), with what, and what it breaks. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** One sentence. */
  readonly breaks: string;
  /** Tests that should kill it, when scenarios and simulation are not the ones. */
  readonly tests?: readonly string[];
}
