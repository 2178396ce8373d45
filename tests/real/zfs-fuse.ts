import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import type { Exec } from "../../src/core/ports/exec.ts";
import { hostExec } from "../../src/host/exec.ts";

const run = promisify(execFile);

const START_TIMEOUT_MS = 20_000;
/** Where zfs-fuse has its socket, its lock and its list of pools: fixed paths, here each with a file system of its own. */
const FIXED_PATHS = "/var/run/zfs /var/lock/zfs /var/lib/zfs";

/**
 * A zfs-fuse of a test's own, which nobody else on the machine can meet: in a mount namespace of its own, out of
 * which only the mounts below one directory come.
 */
export class ZfsFuse {
  readonly #directory: string;
  #process: ChildProcess | undefined;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** @param directory Is made; the files and mountpoints of pools must be below. */
  static async start(directory: string): Promise<ZfsFuse> {
    await mkdir(directory);
    await run("mount", ["--bind", directory, directory]);
    // A peer group of its own: what is mounted below is seen on both sides.
    await run("mount", ["--make-private", directory]);
    await run("mount", ["--make-shared", directory]);
    const daemon = new ZfsFuse(directory);
    await daemon.start();
    return daemon;
  }

  /** Runs `zfs` and `zpool` where this daemon is. */
  readonly exec: Exec = {
    run: (argv, options, signal) => {
      const [command] = argv;
      const pid = this.#process?.pid;
      if (pid === undefined || (command !== "zfs" && command !== "zpool")) {
        return hostExec.run(argv, options, signal);
      }
      const inside = ["nsenter", `--mount=/proc/${pid}/ns/mnt`, "--", ...argv] as const;
      return hostExec.run(inside, options, signal);
    },
  };

  /** Starts it, after {@link kill}. */
  async start(): Promise<void> {
    const script = `
      set -e
      others=$(awk -v own="$0" '$5 != own && index($5, own "/") != 1 { print $5 }' /proc/self/mountinfo)
      for at in $others; do mount --make-private "$at" 2>/dev/null || true; done
      # Copies of what other tests have mounted would keep it busy. All are private by now, so only the copies go.
      for at in $others; do
        case "$at" in */lagan-driver-*) umount --lazy "$at" 2>/dev/null || true ;; esac
      done
      for path in ${FIXED_PATHS}; do mkdir -p $path; mount -t tmpfs tmpfs $path; done
      exec zfs-fuse --no-daemon --no-kstat-mount --enable-xattr --pidfile /var/run/zfs/pid`;
    const namespace = ["--mount", "--propagation", "unchanged"];
    const child = spawn("unshare", [...namespace, "sh", "-c", script, this.#directory], {
      stdio: "ignore",
    });
    this.#process = child;
    for (const deadline = Date.now() + START_TIMEOUT_MS; ; await setTimeout(20)) {
      const signal = new AbortController().signal;
      const { code } = await this.exec.run(["zpool", "list"], { timeoutMs: 5_000 }, signal);
      if (code === 0) return;
      if (Date.now() > deadline || child.exitCode !== null) {
        throw new Error("zfs-fuse did not start; is it installed?");
      }
    }
  }

  /** Holds it still for as long as `work` takes. */
  async frozen(work: () => Promise<void>): Promise<void> {
    this.#process?.kill("SIGSTOP");
    try {
      await work();
    } finally {
      this.#process?.kill("SIGCONT");
    }
  }

  /** Ends it as a crash does; its mounts are dead. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  /** Takes away what a killed one left mounted. */
  async clearMounts(): Promise<void> {
    const table = await readFile("/proc/self/mountinfo", "utf8");
    const points = table.split("\n").map((line) => line.split(" ")[4] ?? "");
    for (const point of points.reverse()) {
      if (point.startsWith(`${this.#directory}/`)) await run("umount", ["--lazy", point]);
    }
  }

  /** Ends it, and leaves nothing of it mounted. */
  async dispose(): Promise<void> {
    await this.kill();
    await this.clearMounts();
    await run("umount", ["--lazy", this.#directory]);
  }
}
