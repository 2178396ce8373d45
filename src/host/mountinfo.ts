import type { MountEntry, MountPlace } from "../core/ports/kernel.ts";

/**
 * Parses `/proc/PID/mountinfo` (proc(5)): fields by blanks, optional fields up to a lone dash, blanks, tabs, newlines and
 * backslashes in paths as three octal digits. A line of another form is passed over.
 */
export function parseMountInfo(text: string): readonly MountEntry[] {
  return text.split("\n").flatMap((line) => parseLine(line) ?? []);
}

const DELETED = "//deleted";

/** The path that is the root of a mount, and whether it was removed. */
export function parseRoot(whole: string): Pick<MountEntry, "root" | "deleted"> {
  const deleted = whole.endsWith(DELETED);
  return { root: deleted ? whole.slice(0, -DELETED.length) : whole, deleted };
}

function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(" ");
  const dash = fields.indexOf("-", 6);
  const [id, parentId, device, root, mountPoint, options] = fields;
  const [type, source, superOptions] = dash === -1 ? [] : fields.slice(dash + 1);
  if (root === undefined || mountPoint === undefined || type === undefined) return undefined;
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? "",
    ...parseRoot(unescaped(root)),
    mountPoint: unescaped(mountPoint),
    options: (options ?? "").split(","),
    type: unescaped(type),
    source: unescaped(source ?? ""),
    superOptions: unescaped(superOptions ?? "").split(","),
  };
}

/** Bytes that are no UTF-8 are written raw by the kernel; what is escaped is one byte of ASCII each. */
export function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** The lines of such a text whose mount shows a place or something in it. Most are passed over without being parsed. */
export function linesShowing({ device, root }: MountPlace, text: string): string {
  const start = ` ${device} ${root === "/" ? "/" : escaped(root)}`;
  const found: string[] = [];
  for (let at = text.indexOf(start); at !== -1; at = text.indexOf(start, at)) {
    const end = text.indexOf("\n", at);
    const line = text.slice(text.lastIndexOf("\n", at) + 1, end === -1 ? undefined : end);
    const entry = parseLine(line);
    const isIn = root === "/" || `${entry?.root}/`.startsWith(`${root}/`);
    if (entry?.device === device && isIn) found.push(line);
    if (end === -1) break;
    at = end;
  }
  return found.join("\n");
}

function escaped(path: string): string {
  return path.replace(/[ \t\n\\]/g, (character) => {
    return `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`;
  });
}
