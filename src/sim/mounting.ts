import { Failure } from "../core/failure.ts";
import type { MountRequest } from "../core/ports/kernel.ts";
import { failureOf } from "./errno.ts";
import type { SimFileSystem } from "./file-system.ts";
import type { SimMachine } from "./machine.ts";
import type { Place, SimMount } from "./mount-namespace.ts";
import type { SimNode } from "./node.ts";

/** Options that mount(2) knows itself; the rest is the file system's. */
const FLAGS: readonly string[] = ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "relatime"];
const TMPFS_BYTES: number = 1024 ** 3;

/** mount(2) of a bind, a btrfs device or a tmpfs. */
export function mountAt(machine: SimMachine, request: MountRequest): void {
  const { type, source, target, options } = request;
  const at = machine.follow("mount on", target);
  if (type === "bind") {
    bind(machine, request, at);
    return;
  }
  const file = machine.namespace.find(source)?.node;
  if (file?.kind === "file") {
    const [attached] = machine.loops.find(file);
    const device = attached ?? machine.loops.attach(file);
    try {
      mountAt(machine, { ...request, source: device });
    } catch (error) {
      if (attached === undefined) machine.loops.release(file);
      throw error;
    }
    return;
  }
  const shown = restrict([], options);
  const readOnly = shown[0] === "ro";
  if (at.node.kind !== "directory") throw failureOf("mount on", target, "ENOTDIR");
  const data = options.filter((option) => !FLAGS.includes(option));
  const fileSystem = open(machine, request, data);
  const subvolume = data.find((option) => option.startsWith("subvol="))?.slice("subvol=".length);
  const root = (subvolume ?? "")
    .split("/")
    .filter((name) => name !== "")
    .reduce((node, name) => {
      const child = node.entries.get(name);
      if (child === undefined) throw failureOf("mount", source, "ENOENT");
      return child;
    }, fileSystem.top.root);
  machine.namespace.add(at, {
    fileSystem,
    root,
    source,
    readOnly,
    options: shown,
    superOptions: [
      readOnly ? "ro" : "rw",
      ...data.filter((option) => !option.startsWith("subvol")),
    ],
  });
}

function open(
  machine: SimMachine,
  { type, source, target }: MountRequest,
  data: readonly string[],
): SimFileSystem {
  if (type === "tmpfs") {
    const size = data.find((option) => /^size=\d+$/.test(option))?.slice("size=".length);
    return machine.makeFileSystem({ type, totalBytes: Number(size ?? TMPFS_BYTES) });
  }
  if (type !== "btrfs") {
    throw new Failure(
      "unimplemented",
      `Cannot mount ${source} on ${target}: file system type ${type} is not known (ENODEV)`,
    );
  }
  const { node } = machine.follow("mount", source);
  if (node.kind !== "other") throw failureOf("mount", source, "ENOTBLK");
  const inside = machine.loops.backing(node)?.inside;
  if (inside === undefined || inside === null) throw failureOf("mount", source, "EINVAL");
  if (!machine.uses(inside)) inside.faulted = false;
  return inside;
}

function bind(machine: SimMachine, { source, target, options }: MountRequest, at: Place): void {
  const from = machine.follow("mount", source);
  if ((from.node.kind === "directory") !== (at.node.kind === "directory")) {
    throw failureOf("mount on", target, "ENOTDIR");
  }
  const recursive = options.includes("rbind");
  if (options.some((option) => option !== "rbind" && !FLAGS.includes(option))) {
    throw failureOf("mount on", target, "EINVAL");
  }
  const { namespace } = machine;
  // Taken before the new mount is there: a bind of a directory over something inside it is no part of itself.
  const below = recursive ? [...namespace.mounts] : [];
  const add = (place: Place, mount: SimMount, root: SimNode): SimMount => {
    const restricted = restrict(mount.options, options);
    return namespace.add(place, {
      fileSystem: mount.fileSystem,
      root,
      source: mount.source,
      readOnly: restricted[0] === "ro",
      options: restricted,
      superOptions: mount.superOptions,
    });
  };
  const top = add(at, from.mount, from.node);
  const copies = new Map<SimMount, SimMount>([[from.mount, top]]);
  for (const mount of below) {
    const parent = mount.parent && copies.get(mount.parent);
    if (!parent || mount.point === null || (parent === top && !isUnder(mount, top))) continue;
    copies.set(mount, add({ mount: parent, node: mount.point }, mount, mount.root));
  }
}

/** Options of a mount as mountinfo shows them: those of what it shows, and `added`. */
function restrict(options: readonly string[], added: readonly string[]): readonly string[] {
  const all = new Set([...options, ...added]);
  const flags = ["nosuid", "nodev", "noexec"].filter((flag) => all.has(flag));
  return [all.has("ro") ? "ro" : "rw", ...flags, all.has("noatime") ? "noatime" : "relatime"];
}

/** True when a mount's point lies under the root of `top`, so that `top` shows it. */
function isUnder(mount: SimMount, top: SimMount): boolean {
  for (let node = mount.point; node !== null; node = node.parent) {
    if (node === top.root) return true;
  }
  return false;
}
