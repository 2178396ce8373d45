import { chmod, chown, lstat, mkdir, readFile, rename, rm } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { Failure } from "../core/failure.ts";

/** Longest path of a unix socket, in bytes (unix(7)). */
const PATH_LIMIT_BYTES = 107;
/** First file descriptor that systemd passes (sd_listen_fds(3)). */
const FIRST_FD = 3;

/**
 * Listening sockets that systemd opened for us and holds while we are away, by their names (`FileDescriptorName=`).
 * Empty when this process was not started so.
 */
export function activatedSockets(environment: NodeJS.ProcessEnv): ReadonlyMap<string, number> {
  if (Number(environment["LISTEN_PID"]) !== process.pid) return new Map();
  const count = Number(environment["LISTEN_FDS"] ?? 0);
  const names = (environment["LISTEN_FDNAMES"] ?? "").split(":");
  return new Map(
    Array.from({ length: count }, (_, index) => [names[index] || `fd${index}`, FIRST_FD + index]),
  );
}

/** Who may use a socket that we make ourselves. */
export interface SocketAccess {
  readonly mode: number;
  /** Group that owns the socket when the machine has it; root otherwise. */
  readonly group?: string;
}

/**
 * Listens with `server` on a unix socket at `path`, which appears only once everything is ready. A socket that a dead
 * process left is replaced; one that somebody answers is not, nor what is no socket.
 *
 * @returns What takes the socket file away again, after the server is closed.
 * @throws {Failure} `failed_precondition` when another process listens there, or something else lies there.
 */
export async function listenOnPath(
  server: Server,
  path: string,
  access: SocketAccess,
): Promise<() => Promise<void>> {
  const fresh = `${path}.${process.pid}`;
  const spare = PATH_LIMIT_BYTES - Buffer.byteLength(fresh);
  if (spare < 0) {
    throw new Failure(
      "invalid_argument",
      `Cannot listen on ${path}: its path is too long for a socket; choose a directory with a path that is ${-spare} bytes shorter`,
    );
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  if (await answers(path)) {
    throw new Failure(
      "failed_precondition",
      `Cannot listen on ${path}: another process does; is a lagand running already?`,
    );
  }
  if ((await lstat(path).catch(() => undefined))?.isSocket() === false) {
    throw new Failure(
      "failed_precondition",
      `Cannot listen on ${path}: what lies there is no socket; remove it, or choose another path`,
    );
  }
  await rm(fresh, { force: true });
  await listen(server, { path: fresh });
  await chmod(fresh, access.mode);
  const gid = access.group === undefined ? undefined : await findGroup(access.group);
  if (gid !== undefined) await chown(fresh, 0, gid);
  await rename(fresh, path);
  return () => rm(path, { force: true });
}

/**
 * The path of a socket as clients of CSI spell it: `unix:///p` (the specification), `unix:/p`, `unix://p` and `/p`.
 *
 * @throws {Failure} `invalid_argument` for anything else.
 */
export function socketPathOf(endpoint: string): string {
  if (/^(unix:)?\/+[^/]/.test(endpoint) && !endpoint.includes("\0")) {
    return endpoint.replace(/^(unix:)?\/+/, "/");
  }
  throw new Failure("invalid_argument", "Cannot listen on the endpoint: give unix:///PATH");
}

/** Listens with `server` on a socket that is open already. */
export function listenOnFd(server: Server, fd: number): Promise<void> {
  return listen(server, { fd });
}

function listen(server: Server, where: { path: string } | { fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function findGroup(name: string): Promise<number | undefined> {
  const line = (await readFile("/etc/group", "utf8"))
    .split("\n")
    .find((l) => l.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(":")[2]);
}
