/** How many may use a volume, and for what: the access modes of the Container Storage Interface, 1 to 7. */
export const ACCESS_MODES = [
  "SINGLE_NODE_WRITER",
  "SINGLE_NODE_READER_ONLY",
  "MULTI_NODE_READER_ONLY",
  "MULTI_NODE_SINGLE_WRITER",
  "MULTI_NODE_MULTI_WRITER",
  "SINGLE_NODE_SINGLE_WRITER",
  "SINGLE_NODE_MULTI_WRITER",
] as const;

/** One of {@link ACCESS_MODES}. */
export type AccessMode = (typeof ACCESS_MODES)[number];

/** How somebody asks for a volume at a path, or on a node. */
export interface VolumeAccess {
  readonly mode: AccessMode;
  readonly readOnly: boolean;
  /** Options of the mount, sorted; never shown to anybody: they may hold secrets. */
  readonly options: readonly string[];
}

const ALONE: ReadonlySet<AccessMode> = new Set([
  "SINGLE_NODE_WRITER",
  "SINGLE_NODE_READER_ONLY",
  "SINGLE_NODE_SINGLE_WRITER",
]);
const READERS: ReadonlySet<AccessMode> = new Set([
  "SINGLE_NODE_READER_ONLY",
  "MULTI_NODE_READER_ONLY",
]);

/** True when a volume asked for so is at one path of a node only. */
export function isAlone({ mode }: Pick<VolumeAccess, "mode">): boolean {
  return ALONE.has(mode);
}

/** True when nobody writes by it. */
export function isReader({ mode, readOnly }: VolumeAccess): boolean {
  return readOnly || READERS.has(mode);
}

/** True when both ask for the same. */
export function isSameAccess(a: VolumeAccess, b: VolumeAccess): boolean {
  return (
    a.mode === b.mode &&
    a.readOnly === b.readOnly &&
    a.options.length === b.options.length &&
    a.options.every((option, index) => option === b.options[index])
  );
}
