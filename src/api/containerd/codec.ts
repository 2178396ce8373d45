import { Failure } from "../../core/failure.ts";
import type { FieldOf } from "../../core/layer/filter.ts";
import { quote } from "../../core/name.ts";
import type { LayerKind, LayerMount } from "../../core/ports/storage-driver.ts";
import type { Info, Kind, Mount } from "../shared/generated/containerd-snapshots.ts";
import type { Snapshot } from "./snapshot.ts";

/** Most bytes of a label's key and value together (containerd's package `labels`). */
const LABEL_LIMIT_BYTES = 4_096;
/** Longest key, in bytes: a few times what containerd makes of a digest, and of any path. */
const KEY_LIMIT_BYTES = 16_384;

const KINDS: Readonly<Record<LayerKind, Kind>> = { view: 1, active: 2, committed: 3 };

/** @throws {Failure} `invalid_argument` when it is empty or too long. */
export function parseKey(key: string, what: string): string {
  if (key === "") throw new Failure("invalid_argument", `Cannot use an empty ${what}`);
  if (Buffer.byteLength(key) > KEY_LIMIT_BYTES) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(key)} as ${what}: it is longer than ${KEY_LIMIT_BYTES} bytes`,
    );
  }
  return key;
}

/** @throws {Failure} `invalid_argument` for a label that is too large. */
export function parseLabels(
  labels: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(labels)) {
    const sizeBytes = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (sizeBytes <= LABEL_LIMIT_BYTES) continue;
    throw new Failure(
      "invalid_argument",
      `Cannot use label ${quote(key)}: key and value have ${sizeBytes} bytes, at most ${LABEL_LIMIT_BYTES} are allowed`,
    );
  }
  return labels;
}

/**
 * The labels after an update of `fields` (a field mask) to `given`. An empty mask replaces all; an empty value deletes.
 *
 * @throws {Failure} `invalid_argument` for a field that cannot change.
 */
export function updateLabels(
  labels: Readonly<Record<string, string>>,
  given: Readonly<Record<string, string>>,
  fields: readonly string[],
): Readonly<Record<string, string>> {
  let next: Record<string, string> = { ...labels };
  for (const field of fields.length === 0 ? ["labels"] : fields) {
    if (field === "labels") next = { ...given };
    else if (field.startsWith("labels.")) {
      const key = field.slice("labels.".length);
      next[key] = given[key] ?? "";
    } else {
      throw new Failure(
        "invalid_argument",
        `Cannot update ${quote(field)}: only labels of a snapshot can change`,
      );
    }
  }
  return parseLabels(Object.fromEntries(Object.entries(next).filter(([, value]) => value !== "")));
}

/** A snapshot as containerd is told of it. */
export function formatInfo({ key, kind, parent, labels, createdUs, updatedUs }: Snapshot): Info {
  return {
    ...{ name: key, parent, kind: KINDS[kind], labels: { ...labels } },
    createdAt: timestampOf(createdUs),
    updatedAt: timestampOf(updatedUs),
  };
}

/** What filters see of a snapshot. */
export function fieldsOf({ key, kind, parent, labels }: Snapshot): FieldOf {
  return ([field, ...rest]) => {
    switch (field) {
      case "name":
        return key;
      case "parent":
        return parent;
      case "kind":
        return kind;
      case "labels":
        return Object.hasOwn(labels, rest.join(".")) ? labels[rest.join(".")] : undefined;
      default:
        return undefined;
    }
  };
}

/**
 * A mount as containerd's own overlay snapshotter would say it. What the kernel is told for volumes beyond that (renamed
 * directories of lower layers) stays out: engines look into upper directories, and know only what they make themselves. Nor does
 * an overlay to be read say "ro", which without an upper directory it is anyway: BuildKit takes what a layer changed from its
 * directory only when it knows every option, and compares whole trees otherwise (v0.12: util/overlay).
 *
 * @throws {Failure} `unimplemented` for storage that one mount does not reach.
 */
export function formatMount({ type, source, options, root }: LayerMount): Mount {
  if (root !== undefined || (type !== "bind" && type !== "overlay")) {
    throw new Failure(
      "unimplemented",
      `Cannot hand out layers of a pool that mounts ${type}: use a pool of driver overlay, btrfs, zfs or directory for layers`,
    );
  }
  if (type === "bind") {
    return { type, source, target: "", options: [options.includes("ro") ? "ro" : "rw", "rbind"] };
  }
  const layers = ["workdir=", "upperdir=", "lowerdir="].flatMap((name) =>
    options.filter((option) => option.startsWith(name)),
  );
  return { type, source, target: "", options: ["index=off", ...layers] };
}

function timestampOf(us: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(us / 1_000_000);
  return { seconds: BigInt(seconds), nanos: (us - seconds * 1_000_000) * 1_000 };
}
