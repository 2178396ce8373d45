import { type ChildProcess, spawn } from "node:child_process";
import { Failure, type FailureCode } from "../core/failure.ts";
import { errnoOf } from "./errno.ts";

/** Most that is kept of what tar says, in bytes. */
const SAID_LIMIT_BYTES = 64 * 1024;
/** Longest part of it in a message, in characters. */
const QUOTED_LIMIT = 300;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * How every tar is started: in a mount namespace of its own, which hears nothing of the host's later mounts; as the first
 * process of a process namespace, because GNU tar writes its process id into the headers of sparse files. It ends with the daemon,
 * however that ends: it could fill a file that nobody wants any more.
 */
const ALONE: readonly string[] = [
  ...[
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "sh",
    "-c",
  ],
];
/** Bytes of a record in blocks of 512: 64 KiB, what a pipe holds. With tar's own 10 KiB there are six times the wake-ups. */
const BLOCKING: string = "--blocking-factor=128";
/** What the scripts end with when tar could not be started. */
const NO_BOX_STATUS = 70;
/** What one that a signal ended is said to have ended with, or less than it. */
const KILLED_STATUS = 128;

/** Without names for users and groups: ACLs are then written with numbers, as owners are. */
const NAMELESS = `
directory=$1; shift
for file in /etc/passwd /etc/group /etc/nsswitch.conf; do
  [ ! -e $file ] || mount -n --bind /dev/null $file || exit ${NO_BOX_STATUS}
done
exec "$@" --directory="$directory" .`;

/**
 * With the root of the host, read-only and without what is mounted in it, as its root, and the directory as the one
 * place that can be written: whatever tar is led to, it is there or cannot be changed.
 */
const CONFINED = `
cd -- "$1" || exit ${NO_BOX_STATUS}; shift
for box in /mnt /srv /media /opt /tmp; do [ ! -d $box ] || [ -L $box ] || break; done
mount -n --bind / $box && mount -n -o remount,bind,ro $box || exit ${NO_BOX_STATUS}
if mountpoint -q /usr; then
  mount -n --bind /usr $box/usr && mount -n -o remount,bind,ro $box/usr || exit ${NO_BOX_STATUS}
fi
mount -n -c --bind . $box$box || exit ${NO_BOX_STATUS}
exec chroot $box "$@" --directory=$box`;

/** What a tar sees of the host. */
export type Box = "nameless" | "confined";

const SCRIPT: Readonly<Record<Box, string>> = { nameless: NAMELESS, confined: CONFINED };

/** What GNU tar says (C locale), where it is not the archive's fault. */
const CODE_OF_REASON: Readonly<Record<string, FailureCode>> = {
  "No space left on device": "resource_exhausted",
  "Disk quota exceeded": "resource_exhausted",
  "Too many links": "resource_exhausted",
  "Cannot allocate memory": "resource_exhausted",
  "Input/output error": "data_loss",
  "Structure needs cleaning": "data_loss",
  "Read-only file system": "failed_precondition",
  "Operation not supported": "unimplemented",
  "Operation not permitted": "permission_denied",
  "Permission denied": "permission_denied",
  "File too large": "out_of_range",
};

type Io = number | "ignore";

/** A tar that runs. */
export class BoxedTar {
  readonly #child: ChildProcess;
  #running = true;
  #said = "";
  /** Called with each piece of what it says; see {@link said}. */
  onSaid: () => void = () => undefined;
  /** Exit status; settles when it has ended and all its outputs are closed. */
  readonly ended: Promise<number>;

  private constructor(command: string, args: readonly string[], stdin: Io, stdout: Io) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#child = spawn(command, args, {
      detached: true,
      stdio: [stdin, stdout, "pipe"],
      env: { LC_ALL: "C", PATH },
      cwd: "/",
    });
    this.#child.once("error", (cause) => {
      reject(new Failure("failed_precondition", `Cannot run ${command}`, { cause }));
    });
    this.#child.once("close", (code) => {
      this.#running = false;
      resolve(code ?? KILLED_STATUS);
    });
    // Whoever needs it awaits it; until then a failed start is nobody's.
    promise.catch(() => undefined);
    this.ended = promise;
    this.#child.stderr?.on("data", (piece: Buffer) => {
      if (this.#said.length < SAID_LIMIT_BYTES) this.#said += piece.toString("latin1");
      this.onSaid();
    });
  }

  /**
   * Starts one.
   *
   * @param end Its standard input for `confined`, its standard output for `nameless`: a descriptor, which stays the caller's.
   * @param args What follows `tar`.
   */
  static start(box: Box, directory: string, args: readonly string[], end: number): BoxedTar {
    const [command = "", ...rest] = ALONE;
    const argv = [...rest, SCRIPT[box], "archive", directory, "tar", BLOCKING, ...args];
    return box === "confined"
      ? new BoxedTar(command, argv, end, "ignore")
      : new BoxedTar(command, argv, "ignore", end);
  }

  /** What it has said of errors so far. */
  get said(): string {
    return this.#said;
  }

  /** Ends it and all its children; ended already is success. */
  kill(): void {
    if (this.#child.pid === undefined || !this.#running) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch (thrown) {
      if (errnoOf(thrown) !== "ESRCH") throw thrown;
    }
  }

  /** Why it failed, from what it said. @param doing "pack the tree". @param fallback What it is when its words do not tell. */
  failure(doing: string, status: number | null, fallback: FailureCode): Failure {
    const [line = ""] = this.#said.split("\n");
    if (status === NO_BOX_STATUS) {
      return new Failure("failed_precondition", `Cannot ${doing}: ${quoted(line)}`);
    }
    if (status !== null && status >= KILLED_STATUS) {
      return new Failure("aborted", `Cannot ${doing}: tar was ended by a signal; try again`);
    }
    const why = line
      .replace(/^\S*tar: /, "")
      // The first that a full file system takes is a part.
      .replace(/Wrote only \d+ of \d+ bytes$/, "No space left on device");
    const code = CODE_OF_REASON[why.slice(why.lastIndexOf(": ") + 2)] ?? fallback;
    const said = why === "" ? `tar ended with status ${status}` : quoted(why);
    return new Failure(code, `Cannot ${doing}: ${said}`);
  }
}

function quoted(text: string): string {
  return text.replace(/[^ -~]/g, "?").slice(0, QUOTED_LIMIT);
}
