import { Failure } from "../core/failure.ts";
import type { MountRequest } from "../core/ports/kernel.ts";
import { failureOf } from "./errno.ts";
import type { SimFileSystem } from "./file-system.ts";
import type { SimMachine } from "./machine.ts";
import type { Place, SimMount } from "./mount-namespace.ts";

/** Options that mount(2) knows itself; the rest is the file system's. */
const FLAGS = ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "rbind"];
const TMPFS_BYTES: number = 1024 ** 3;

/** mount(2) of a bind, a btrfs device or a tmpfs. */
export function mountAt(machine: SimMachine, request: MountRequest): void {
  const { type, source, target, options } = request;
  const at = machine.follow("mount on", target);
  const flags = options.filter((option) => FLAGS.includes(option) && option !== "rbind");
  const readOnly = flags.includes("ro");
  const shown = [
    readOnly ? "ro" : "rw",
    ...flags.filter((flag) => flag !== "ro" && flag !== "rw"),
    ...(flags.includes("noatime") ? [] : ["relatime"]),
  ];
  if (type === "bind") {
    bind(machine, request, at, shown);
    return;
  }
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

function bind(
  machine: SimMachine,
  { source, target, options }: MountRequest,
  at: Place,
  shown: readonly string[],
): void {
  const from = machine.follow("mount", source);
  if ((from.node.kind === "directory") !== (at.node.kind === "directory")) {
    throw failureOf("mount on", target, "ENOTDIR");
  }
  const { namespace } = machine;
  // Taken before the new mount is there: a bind of a directory over something inside it is no part of itself.
  const below = options.includes("rbind") ? [...namespace.mounts] : [];
  const { fileSystem, superOptions } = from.mount;
  const copies = new Map<SimMount, SimMount>();
  const top = namespace.add(at, {
    fileSystem,
    root: from.node,
    source: from.mount.source,
    readOnly: from.mount.readOnly || shown.includes("ro"),
    options: from.mount.readOnly ? from.mount.options : shown,
    superOptions,
  });
  copies.set(from.mount, top);
  for (const mount of below) {
    const parent = mount.parent && copies.get(mount.parent);
    if (!parent || mount.point === null) continue;
    const reached = parent !== top || isUnder(mount, top);
    if (reached) copies.set(mount, namespace.add({ mount: parent, node: mount.point }, mount));
  }
}

/** True when a mount's point lies under the root of `top`, so that `top` shows it. */
function isUnder(mount: SimMount, top: SimMount): boolean {
  for (let node = mount.point; node !== null; node = node.parent) {
    if (node === top.root) return true;
  }
  return false;
}
