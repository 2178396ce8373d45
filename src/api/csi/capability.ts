import {
  ACCESS_MODES,
  type AccessMode,
  isReader,
  type VolumeAccess,
} from "../../core/volume/access.ts";
import type { VolumeCapability } from "../shared/generated/csi.ts";
import { refused } from "./fields.ts";

/** Most bytes of a mount's flags together (the specification's limit). */
const FLAGS_LIMIT_BYTES: number = 4 * 1024;
/** What a mount of a directory in a file system that others use as well can be told. */
const MOUNT_FLAGS: readonly string[] = [
  "ro",
  "rw",
  "nosuid",
  "nodev",
  "noexec",
  "noatime",
  "nodiratime",
  "relatime",
  "strictatime",
];

/** What a volume is to be for somebody. */
export interface Capability {
  readonly block: boolean;
  readonly mode: AccessMode;
  /** Empty: whatever the pool has. */
  readonly fsType: string;
  readonly flags: readonly string[];
  /** Group that is to have the volume; null: as it is. */
  readonly group: number | null;
}

/** @throws {Failure} `invalid_argument` for a capability that is missing or none; messages never show its flags. */
export function parseCapability(capability: VolumeCapability | undefined): Capability {
  const field = "volume_capability";
  if (capability === undefined) throw refused(field, "it is missing");
  const { accessType, accessMode } = capability;
  if (accessType === undefined) throw refused(field, "say mount or block");
  const number = accessMode?.mode ?? 0;
  const mode = ACCESS_MODES[number - 1];
  if (mode === undefined) {
    const why = number === 0 ? "its access mode is missing" : `there is no access mode ${number}`;
    throw refused(field, why);
  }
  if (accessType.$case === "block")
    return { block: true, mode, fsType: "", flags: [], group: null };
  const { fsType, mountFlags, volumeMountGroup } = accessType.value;
  return {
    ...{ block: false, mode, fsType },
    flags: parseFlags(mountFlags),
    group: parseGroup(volumeMountGroup),
  };
}

/** Likewise, of several. @throws {Failure} `invalid_argument` also for none, and for mount and block at once. */
export function parseCapabilities(
  capabilities: readonly VolumeCapability[],
): readonly [Capability, ...Capability[]] {
  const [first, ...rest] = capabilities.map(parseCapability);
  if (first === undefined) throw refused("volume_capabilities", "it is missing");
  if (rest.some(({ block }) => block !== first.block)) {
    throw refused("volume_capabilities", "a volume is either mounted or a block device");
  }
  return [first, ...rest];
}

/** How a volume is asked for at one place. @throws {Failure} `invalid_argument`: writing by a mode that reads. */
export function accessOf({ mode, flags }: Capability, readOnly: boolean): VolumeAccess {
  const asked = { mode, readOnly: readOnly || flags.includes("ro"), options: flags };
  return { ...asked, readOnly: isReader(asked) };
}

function parseFlags(flags: readonly string[]): readonly string[] {
  const field = "mount_flags";
  const all = flags.flatMap((flag) => flag.split(","));
  if (Buffer.byteLength(all.join("")) > FLAGS_LIMIT_BYTES) {
    throw refused(field, `they are longer than ${FLAGS_LIMIT_BYTES} bytes`);
  }
  const unknown = all.findIndex((flag) => !MOUNT_FLAGS.includes(flag));
  if (unknown >= 0) {
    // Not shown: a flag may hold a secret.
    throw refused(
      field,
      `number ${unknown + 1} of them is unknown; there is ${MOUNT_FLAGS.join(", ")}`,
    );
  }
  return [...new Set(all)].sort();
}

function parseGroup(text: string): number | null {
  if (text === "") return null;
  const group = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (group <= 4_294_967_294) return group;
  throw refused("volume_mount_group", "give the number of a group");
}
