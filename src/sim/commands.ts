import type { Clock } from "../core/ports/clock.ts";
import type { ExecResult } from "../core/ports/exec.ts";
import type { SimMachine } from "./machine.ts";
import { pathOfPlace } from "./mount-namespace.ts";
import type { SimNode } from "./node.ts";
import { copyNode } from "./whole-tree.ts";

/** What a simulated command has at hand. */
export interface CommandContext {
  readonly machine: SimMachine;
  /** For commands that take time. */
  readonly clock: Clock;
  /** Aborts when the command is killed. */
  readonly signal: AbortSignal;
}

/** A simulated command: arguments without its own name to what it leaves. One that takes time gives a promise. */
export type SimCommand = (
  args: readonly string[],
  context: CommandContext,
) => ExecResult | Promise<ExecResult>;

/** What a new machine can run. Messages and exit codes as Debian 12's tools give them. */
export const SIM_COMMANDS: Readonly<Record<string, SimCommand>> = {
  blkid: probe,
  btrfs: (args) =>
    args[0] === "--version"
      ? ok("btrfs-progs v6.2\n")
      : failed(`btrfs: unknown token '${args[0]}'`),
  cp: copy,
  "mkfs.btrfs": makeBtrfs,
  realpath: (args, { machine }) => {
    const [path = ""] = parse(args, []).operands;
    const place = machine.namespace.follow(path);
    if (place === undefined) return failed(`realpath: ${path}: No such file or directory`);
    return ok(`${pathOfPlace(place)}\n`);
  },
  sleep: async (args, { clock, signal }) => {
    await clock.sleep(Number(args[0]) * 1000, signal);
    return ok("");
  },
  sync: (args, { machine }) => {
    const { flags, operands } = parse(args, []);
    const [path] = operands;
    if (path === undefined) machine.sync();
    else {
      const node = machine.namespace.follow(path)?.node;
      if (node === undefined) {
        return failed(`sync: error opening '${path}': No such file or directory`);
      }
      if (flags.has("-f") || flags.has("--file-system")) node.tree.fileSystem.commit();
      else node.tree.fileSystem.persist(node);
    }
    return ok("");
  },
};

/** What a command leaves when it ends well. */
export function ok(stdout: string): ExecResult {
  return { code: 0, stdout, stderr: "" };
}

/** What a command leaves when it fails. */
export function failed(stderr: string, code = 1): ExecResult {
  return { code, stdout: "", stderr: `${stderr}\n` };
}

const BTRFS_LEAST_BYTES = 114_294_784;
/** Options of mkfs.btrfs that take a value. */
const MKFS_VALUES = ["-L", "--label", "-d", "-m", "-n", "-s", "-O", "-R", "-U", "--csum"];

function makeBtrfs(args: readonly string[], { machine }: CommandContext): ExecResult {
  const { flags, operands } = parse(args, MKFS_VALUES);
  const [path, ...more] = operands;
  if (flags.has("--version")) return ok("mkfs.btrfs, part of btrfs-progs v6.2\n");
  if (path === undefined || more.length > 0) return failed("ERROR: one device is simulated");
  const force = flags.has("-f") || flags.has("--force");
  const found = machine.namespace.follow(path)?.node;
  const device = found?.kind === "other" ? machine.loops.backing(found) : found;
  if (device === undefined || (device.kind !== "file" && device.kind !== "other")) {
    return failed(`ERROR: probe of ${path} failed, cannot detect existing filesystem`);
  }
  const { sizeBytes } = device.attributes.content;
  if (device.inside !== null) {
    if (machine.uses(device.inside)) return failed(`ERROR: ${path} is mounted`);
    if (!force) {
      return failed(
        `ERROR: ${path} appears to contain an existing filesystem (${device.inside.type})\n` +
          `ERROR: use the -f option to force overwrite of ${path}`,
      );
    }
  }
  if (sizeBytes < BTRFS_LEAST_BYTES) {
    return failed(
      `ERROR: '${path}' is too small to make a usable filesystem\n` +
        `ERROR: minimum size for each btrfs device is ${BTRFS_LEAST_BYTES}`,
    );
  }
  machine.makeFileSystem({ type: "btrfs", totalBytes: sizeBytes, inside: device });
  return ok("");
}

/** `blkid --probe --output export DEVICE`: 2 when there is nothing that it knows. */
function probe(args: readonly string[], { machine }: CommandContext): ExecResult {
  const [path = ""] = parse(args, ["-o", "--output"]).operands;
  const node = machine.namespace.follow(path)?.node;
  const device = node && machine.loops.backing(node);
  if (device === undefined) return failed(`error: ${path}: No such file or directory`, 2);
  if (device.inside === null) return { code: 2, stdout: "", stderr: "" };
  return ok(`DEVNAME=${path}\nTYPE=${device.inside.type}\n`);
}

/** `cp -a [--reflink=…] [-T] SOURCE TARGET`, where `SOURCE/.` stands for what is in it. */
function copy(args: readonly string[], { machine }: CommandContext): ExecResult {
  const { flags, operands } = parse(args, []);
  const [source, target] = operands;
  if (source === undefined || target === undefined) return failed("cp: missing file operand");
  const from = machine.namespace.find(source.replace(/\/\.$/, ""));
  if (from === undefined) {
    return failed(`cp: cannot stat '${source}': No such file or directory`);
  }
  const existing = machine.namespace.follow(target);
  const merges = flags.has("-T") || flags.has("-aT") || source.endsWith("/.");
  const path =
    existing?.node.kind === "directory" && !merges ? `${target}/${from.node.name}` : target;
  const entry = machine.namespace.findEntry(path);
  if (entry === undefined || entry.directory.node.kind !== "directory") {
    return failed(`cp: cannot create '${path}': No such file or directory`);
  }
  const { directory } = entry;
  const readOnly = directory.mount.readOnly || directory.node.tree.settings.readOnly;
  if (readOnly) return failed(`cp: cannot create '${path}': Read-only file system`);
  try {
    const clones = ![...flags].includes("--reflink=never");
    const into = entry.place?.node;
    copyNodes(from.node, into?.parent ?? directory.node, into?.name ?? entry.name, into, clones);
    return ok("");
  } catch (error) {
    return failed(`cp: error writing '${path}': ${error instanceof Error ? error.message : ""}`);
  }
}

function copyNodes(
  from: SimNode,
  directory: SimNode,
  name: string,
  existing: SimNode | undefined,
  clones: boolean,
): void {
  const to = copyNode(from, directory, name, {
    existing: existing ?? directory.entries.get(name),
    clones,
  });
  for (const [childName, child] of [...from.entries]) {
    if (child !== to) copyNodes(child, to, childName, undefined, clones);
  }
}

function parse(
  args: readonly string[],
  withValue: readonly string[],
): { readonly flags: ReadonlySet<string>; readonly operands: readonly string[] } {
  const flags = new Set<string>();
  const operands: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      operands.push(...args.slice(index + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") operands.push(arg);
    else {
      flags.add(arg);
      if (withValue.includes(arg)) index++;
    }
  }
  return { flags, operands };
}
