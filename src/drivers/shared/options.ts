import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";

/** Options of a pool as a person writes them; each driver parses its own. */
export type DriverOptions = Readonly<Record<string, string>>;

/** @throws {Failure} `invalid_argument` for an option that `driver` does not know, naming those that it does. */
export function ensureKnown(
  driver: string,
  options: DriverOptions,
  known: readonly string[],
): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const allowed = known.length === 0 ? "it takes none" : `it takes: ${known.join(", ")}`;
    throw new Failure(
      "invalid_argument",
      `Cannot use option ${quote(name)} with driver ${driver}: ${allowed}`,
    );
  }
}
