import { UsageError } from "./exit-code.ts";
import { printable } from "./printable.ts";

/** A point of a volume's history, as it is typed. */
export interface Point {
  readonly volume: string;
  readonly snapshot: string;
}

/** `data@before`. @throws {UsageError} when no snapshot is named. */
export function parsePoint(text: string): Point {
  const [volume = "", snapshot = "", ...more] = text.split("@");
  if (volume !== "" && snapshot !== "" && more.length === 0) return { volume, snapshot };
  throw new UsageError(
    `Cannot read ${printable(JSON.stringify(text))}: give VOLUME@SNAPSHOT; to see what there is: lagan log VOLUME`,
  );
}
