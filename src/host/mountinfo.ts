import type { MountEntry } from "../core/ports/kernel.ts";

/**
 * Parses `/proc/PID/mountinfo` (proc(5)): fields by blanks, optional fields up to a lone dash, blanks, tabs, newlines and
 * backslashes in paths as three octal digits. A line of another form is passed over.
 */
export function parseMountInfo(text: string): readonly MountEntry[] {
  return text.split("\n").flatMap((line) => parseLine(line) ?? []);
}

const DELETED = "//deleted";

function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(" ");
  const dash = fields.indexOf("-", 6);
  const [id, parentId, device, root, mountPoint, options] = fields;
  const [type, source, superOptions] = dash === -1 ? [] : fields.slice(dash + 1);
  if (root === undefined || mountPoint === undefined || type === undefined) return undefined;
  const whole = unescaped(root);
  const deleted = whole.endsWith(DELETED);
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? "",
    root: deleted ? whole.slice(0, -DELETED.length) : whole,
    deleted,
    mountPoint: unescaped(mountPoint),
    options: (options ?? "").split(","),
    type: unescaped(type),
    source: unescaped(source ?? ""),
    superOptions: unescaped(superOptions ?? "").split(","),
  };
}

/** Bytes that are no UTF-8 are written raw by the kernel; what is escaped is one byte of ASCII each. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
