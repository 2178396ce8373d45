import { closeSync, constants as fs, openSync, readFileSync } from "node:fs";
import type { MountEntry } from "../core/ports/kernel.ts";
import { errnoOf } from "./errno.ts";
import { attempt } from "./libc.ts";
import { describeMount, mountIdOf } from "./libc-mount.ts";
import { parseMountInfo, parseRoot, unescaped } from "./mountinfo.ts";

const MOUNT_TABLE = "/proc/self/mountinfo";
const O_PATH = 0o10000000;
/** How often a mount may go between finding its number and reading of it. */
const ROUNDS_LIMIT = 100;

/** Options of a mount by `MOUNT_ATTR_…` (linux/mount.h, 6.18), in the order of the table. */
const MOUNT_WORDS: readonly (readonly [bit: bigint, word: string])[] = [
  [2n, "nosuid"],
  [4n, "nodev"],
  [8n, "noexec"],
];
const ATTR_READ_ONLY = 1n;
const ATTR_ATIME = 0x70n;
const ATTR_NOATIME = 0x10n;
const ATTR_STRICTATIME = 0x20n;
const ATTR_NODIRATIME = 0x80n;
const ATTR_IDMAP = 0x100000n;
const ATTR_NOSYMFOLLOW = 0x200000n;
/** Options of a file system by `SB_…`. */
const SUPER_WORDS: readonly (readonly [bit: number, word: string])[] = [
  [16, "sync"],
  [128, "dirsync"],
  [1 << 25, "lazytime"],
];
const SUPER_READ_ONLY = 1;

/** `Kernel.mountOf`. */
export function mountOf(path: string): MountEntry | undefined {
  for (let round = 0; round < ROUNDS_LIMIT; round++) {
    const id = mountIdOf(path);
    if (id === undefined) break;
    if (id === null) return undefined;
    const told = describeMount(id);
    if (told === undefined) break;
    // Unmounted meanwhile: what is there now?
    if (told !== null) return entryOf(told);
  }
  return mountInTable(path);
}

/** For kernels that cannot be asked of one mount, and what they will not tell so. */
export function mountInTable(path: string): MountEntry | undefined {
  for (let round = 0; round < ROUNDS_LIMIT; round++) {
    const number = oldIdOf(path);
    const table = parseMountInfo(readFileSync(MOUNT_TABLE, "utf8"));
    // What cannot be looked up (a dead server's) may be a mount point all the same.
    if (number === null) return table.findLast(({ mountPoint }) => mountPoint === path);
    if (number === undefined) return undefined;
    const entry = table.find(({ id }) => id === number);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

/** By what any kernel tells of an open file. Undefined: absent; null: it cannot be looked up. */
function oldIdOf(path: string): number | undefined | null {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | fs.O_NOFOLLOW);
  } catch (thrown) {
    return ["ENOENT", "ENOTDIR"].includes(errnoOf(thrown) ?? "") ? undefined : null;
  }
  try {
    const text = attempt("read", path, () => readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
    return Number(/^mnt_id:\s*(\d+)$/m.exec(text)?.[1]);
  } finally {
    closeSync(fd);
  }
}

function entryOf(told: NonNullable<ReturnType<typeof describeMount>>): MountEntry {
  const { attributes, superFlags, subtype } = told;
  const readOnly = (set: boolean): string => (set ? "ro" : "rw");
  const superOptions = told.options === "" ? [] : unescaped(told.options).split(",");
  return {
    id: told.id,
    parentId: told.parentId,
    device: told.device,
    ...parseRoot(told.root),
    mountPoint: told.mountPoint,
    options: [
      readOnly((attributes & ATTR_READ_ONLY) !== 0n),
      ...MOUNT_WORDS.flatMap(([bit, word]) => ((attributes & bit) === 0n ? [] : [word])),
      ...atimeWords(attributes),
      ...((attributes & ATTR_NOSYMFOLLOW) === 0n ? [] : ["nosymfollow"]),
      ...((attributes & ATTR_IDMAP) === 0n ? [] : ["idmapped"]),
    ],
    type: subtype === "" ? told.type : `${told.type}.${subtype}`,
    source: told.source,
    superOptions: [
      readOnly((superFlags & SUPER_READ_ONLY) !== 0),
      ...SUPER_WORDS.flatMap(([bit, word]) => ((superFlags & bit) === 0 ? [] : [word])),
      ...superOptions,
    ],
  };
}

function atimeWords(attributes: bigint): readonly string[] {
  const kind = attributes & ATTR_ATIME;
  const words = kind === ATTR_NOATIME ? ["noatime"] : [];
  if ((attributes & ATTR_NODIRATIME) !== 0n) words.push("nodiratime");
  if (kind !== ATTR_NOATIME && kind !== ATTR_STRICTATIME) words.push("relatime");
  return words;
}
