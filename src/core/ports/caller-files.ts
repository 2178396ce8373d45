/** Which file a caller means. */
export interface MeantFile {
  /** How the process at the other end knows it. */
  readonly number: number;
  /** `DEVICE:INODE`, as that process sees it. Absent: it is none that could be had. */
  readonly inode?: string | undefined;
}

/** A file that a process on this machine has open, and lends. */
export interface CallerFile {
  /** The daemon's own descriptor of it, with the caller's position. */
  readonly descriptor: number;
  /**
   * What is in it from where it stands, to its end; the caller sees where it stands meanwhile. A piece is overwritten when the fourth after it is asked for: whoever keeps one
   * copies it.
   */
  content(): AsyncIterable<Uint8Array>;
  /** Lets go of it, once nothing reads it any more. Again is success. */
  close(): void;
}

/**
 * Files that the processes at the other end of a local connection have open. The kernel carries their bytes then: they go neither
 * through the connection nor through two processes more.
 *
 * 1. What is lent is the very open file that the process at the other end made the connection with, so that it brings no right
 *    which the process does not have: one that cannot be written to is not written to.
 * 2. Only regular files and pipes, and only of processes of root: others could start a program with more rights than their own, and name a
 *    file of that.
 * 3. What passes a connection on (`ssh -L`, `socat`) is not the caller: the file must be the one that the caller means.
 * 4. `unimplemented` with the detail `untouched`: it cannot be had, whatever the reason; the bytes are to be sent by the connection.
 */
export interface CallerFiles {
  /**
   * @param connection The connection's end on our side, a socket.
   * @param file Which one.
   * @param use What for. `write`: not one that is only appended to.
   */
  take(connection: object, file: MeantFile, use: "read" | "write"): Promise<CallerFile>;
}
