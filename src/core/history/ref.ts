import { Failure } from "../failure.ts";
import { parseVolumeName, quote, type VolumeName } from "../name.ts";
import { type PointName, parsePointName, type Snapshot, shortId } from "./snapshot.ts";

/** What a person types: a volume, or a point of its history. */
export interface Ref {
  readonly volume: VolumeName;
  /** Name of a branch or a snapshot, or the beginning of a snapshot's id; null: the volume itself. */
  readonly at: string | null;
}

/** Fewest digits of an id that are looked up. */
const ID_DIGITS_MIN = 4;

/**
 * Reads `data`, `data@before`, `data@3f2c9a` or `data@dev`.
 *
 * @throws {Failure} `invalid_argument` saying what is wrong.
 */
export function parseRef(text: string): Ref {
  const [name = "", at, ...more] = text.split("@");
  if (at === undefined) return { volume: parseVolumeName(name), at: null };
  if (name === "" || at === "" || more.length > 0) {
    throw new Failure(
      "invalid_argument",
      `Cannot read ${quote(text)}: give VOLUME, VOLUME@SNAPSHOT or VOLUME@BRANCH`,
    );
  }
  return { volume: parseVolumeName(name), at: isIdText(at) ? at : parsePointName(at, "snapshot") };
}

/** `data` or `data@dev`: the name of a volume or of one of its branches. */
export function parseLineName(text: string): VolumeName {
  const { volume, at } = parseRef(text);
  return at === null ? volume : lineName(volume, parsePointName(at, "branch"));
}

/** The name under which a branch is a volume of its own. */
export function lineName(volume: VolumeName, branch: PointName): VolumeName {
  return `${volume}@${branch}` as VolumeName;
}

/** As people type it. */
export function formatRef({ volume, at }: Ref): string {
  return at === null ? volume : `${volume}@${at}`;
}

/**
 * The one of `snapshots` that `ref` means: by its name, or by the beginning of its short or of its whole id.
 *
 * @throws {Failure} `not_found`; `invalid_argument` when the beginning of an id fits several, naming them.
 */
export function pickSnapshot<T>(ref: Ref, snapshots: readonly T[], of: (item: T) => Snapshot): T {
  const { at } = ref;
  const named = snapshots.find((item) => at !== null && of(item).name === at);
  if (named !== undefined) return named;
  const digits = at !== null && isIdText(at) ? at.toLowerCase() : undefined;
  const fitting =
    digits === undefined
      ? []
      : snapshots.filter((item) => {
          const { id } = of(item);
          return shortId(id).startsWith(digits) || (digits.length > 8 && id.startsWith(digits));
        });
  const [only, ...others] = fitting;
  if (digits !== undefined && digits.length < ID_DIGITS_MIN) {
    throw new Failure(
      "invalid_argument",
      `Cannot find snapshot "${formatRef(ref)}": an id needs at least ${ID_DIGITS_MIN} digits`,
    );
  }
  if (only === undefined) {
    throw new Failure(
      "not_found",
      `Cannot find snapshot "${formatRef(ref)}": it does not exist; to see what there is: lagan log ${ref.volume}`,
    );
  }
  if (others.length > 0) {
    const ids = fitting.map((item) => shortId(of(item).id)).join(", ");
    throw new Failure(
      "invalid_argument",
      `Cannot tell which snapshot "${formatRef(ref)}" means: ${ids}`,
    );
  }
  return only;
}

function isIdText(text: string): boolean {
  return /^[0-9a-fA-F][0-9a-fA-F-]*$/.test(text);
}
