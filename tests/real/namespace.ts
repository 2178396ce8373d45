import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandOptions, eventually, type Outcome, run } from "./command.ts";
import {
  findLoops,
  findProcesses,
  listLeftovers,
  removeCgroups,
  thawCgroups,
} from "./leftovers.ts";

/** Where engines look for plugins, inside. */
export const PLUGIN_DIRECTORY = "/run/docker/plugins";

/** The real parts of the host's tree that are written to inside, and must not be outside. */
const COVERED = ["etc", "opt", "var/lib"] as const;

/**
 * A mount namespace with a `/run`, `/dev/shm`, `/etc`, `/opt` and `/var/lib` of its own, and a scratch directory.
 *
 * It is kept by an anchor process. When the process that made it dies without closing it, the anchor ends
 * everything in its place.
 */
export class Namespace {
  /** Random word by which everything of this namespace is found on the host. */
  readonly name: string;
  /** Scratch directory, the same path inside and outside. */
  readonly directory: string;
  readonly #anchor: ChildProcess;
  #closed = false;

  private constructor(directory: string, anchor: ChildProcess) {
    this.name = nameOf(directory);
    this.directory = directory;
    this.#anchor = anchor;
  }

  /** A new one with nothing running. `outlive`: it stays when this process ends, until it is closed by hand. */
  static async create({ outlive }: { readonly outlive: boolean }): Promise<Namespace> {
    // Short: paths of unix sockets end at 107 bytes.
    const directory = await mkdtemp(join(tmpdir(), `lagan-${randomBytes(2).toString("hex")}`));
    for (const part of ["home", "tmp", ...COVERED.flatMap((name) => [name, `${name}.work`])]) {
      await mkdir(join(directory, part), { recursive: true });
    }
    const anchor = spawn(
      "sh",
      // Descriptor 9 is the way back into the host's namespace.
      [
        "-c",
        'exec 9</proc/self/ns/mnt; exec unshare -m --propagation private sh -c "$@"',
        "outer",
        ANCHOR,
        "anchor",
        directory,
      ],
      { detached: true, stdio: ["pipe", "pipe", "pipe"] },
    );
    const namespace = new Namespace(directory, anchor);
    try {
      await readiness(anchor);
      if (outlive) anchor.stdin.write("stay\n");
    } catch (thrown) {
      await namespace.close();
      throw thrown;
    }
    // A test that ends without closing must not wait for the anchor.
    for (const stream of [anchor.stdin, anchor.stdout, anchor.stderr]) unref(stream);
    anchor.unref();
    return namespace;
  }

  /** Pid of the process that keeps it. */
  get anchorPid(): number {
    return this.#anchor.pid ?? -1;
  }

  /** Path in the scratch directory. */
  path(...parts: readonly string[]): string {
    return join(this.directory, ...parts);
  }

  /** How this process reaches a path of the namespace, such as a socket in its `/run`. */
  inside(path: string): string {
    return `/proc/${this.anchorPid}/root${path}`;
  }

  /** The command that runs `argv` inside. Its working directory is `/`. */
  enter(argv: readonly string[]): readonly string[] {
    return ["nsenter", "-t", String(this.anchorPid), "-m", ...argv];
  }

  /** Environment of everything that runs inside. */
  get env(): NodeJS.ProcessEnv {
    return {
      PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: this.path("home"),
      // dockerd tells a containerd that is slow to end to write down what it does, in a file there.
      TMPDIR: this.path("tmp"),
      DOCKER_CONFIG: this.path("home"),
      LAGAN_TEST_MACHINE: this.name,
    };
  }

  /** Runs a command inside, to its end. */
  run(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return run(this.enter(argv), { ...options, env: { ...this.env, ...options.env } });
  }

  /** Writes a file into the scratch directory; resolves to its path. */
  async write(name: string, text: string): Promise<string> {
    await writeFile(this.path(name), text);
    return this.path(name);
  }

  /** What is still there of it on the host, a line each; empty after {@link close}. */
  leftovers(): readonly string[] {
    return listLeftovers(this.name, this.directory);
  }

  /** Ends everything that runs inside, by pid, and removes every trace. Again is success. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await endNamespace(this.directory);
  }
}

/** Ends everything that runs in the namespace with this scratch directory, by pid, and removes every trace. */
export async function endNamespace(directory: string): Promise<void> {
  const name = nameOf(directory);
  await eventually(
    `${name}: all processes ended`,
    () => {
      thawCgroups(name);
      const pids = findProcesses(name);
      // The anchor is one of them: its argument is the directory.
      for (const pid of pids) kill(pid);
      return pids.length === 0;
    },
    { timeoutMs: 30_000 },
  );
  // The last process took the namespace and its mounts along; a pool's loop device follows its mount.
  await eventually(`${name}: loop devices free`, async () => {
    const loops = findLoops(name);
    for (const device of loops) await run(["losetup", "-d", device]);
    return loops.length === 0;
  });
  removeCgroups(name);
  await rm(directory, { recursive: true, force: true, maxRetries: 10 });
}

/** The random word that is the last component of a scratch directory; anything else is refused. */
function nameOf(directory: string): string {
  const [, name] = /\/(lagan-[\w-]{8,})$/.exec(directory) ?? [];
  if (name === undefined) throw new Error(`Not the scratch directory of a machine: ${directory}`);
  return name;
}

async function readiness(anchor: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const complaints: Buffer[] = [];
  anchor.stderr?.on("data", (chunk: Buffer) => complaints.push(chunk));
  anchor.stdout?.once("data", () => resolve());
  anchor.on("error", reject);
  anchor.on("exit", (code) =>
    reject(new Error(`Cannot make a namespace (${code}): ${Buffer.concat(complaints)}`)),
  );
  await promise;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

function unref(stream: object): void {
  if ("unref" in stream && typeof stream.unref === "function") stream.unref();
}

/**
 * Keeps the namespace until its input ends, which happens when the owner dies: then it ends what it finds of the
 * machine, as `Namespace.close` would have. `stay` on its input makes it wait for ever.
 */
const ANCHOR = `
set -e
dir=$1 name=\${1##*/}
# Copies of what other tests have mounted at the moment: they would keep it busy, and a dead file system alive.
grep -o " /tmp/lt-[^ ]*" /proc/self/mountinfo | tac | while read -r other; do
  umount -l "$other" 2>/dev/null || true
done
for part in ${COVERED.join(" ")}; do
  mount -t overlay -o "lowerdir=/$part,upperdir=$dir/$part,workdir=$dir/$part.work" "$name" "/$part"
done
mount -t tmpfs "$name" /dev/shm
mount -t tmpfs "$name" /run
mkdir -p ${PLUGIN_DIRECTORY} /run/lock /run/user
echo ready
read -r word || word=gone
# Its environment is what it is found by.
[ "$word" = gone ] || LAGAN_TEST_MACHINE=$name exec sleep infinity
exec nsenter --mount=/proc/self/fd/9 sh -c '
name=$1 dir=$2
for round in 1 2 3; do
  for state in /sys/fs/cgroup/freezer/"$name"/*/freezer.state; do
    [ -e "$state" ] && echo THAWED >"$state"
  done
  for entry in /proc/[0-9]*; do
    pid=\${entry#/proc/}
    [ "$pid" != $$ ] && grep -qsF "$name" "$entry/cmdline" "$entry/environ" "$entry/cgroup" && kill -9 "$pid"
  done
  sleep 0.2
done
for file in /sys/block/loop*/loop/backing_file; do
  grep -qsF "$name" "$file" && { device=\${file#/sys/block/}; losetup -d "/dev/\${device%%/*}"; }
done
find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} \\;
rm -rf "$dir"
' sweep "$name" "$dir" 2>/dev/null
`;
