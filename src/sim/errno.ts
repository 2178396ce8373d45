import { Failure, type FailureCode } from "../core/failure.ts";

type Errno =
  | "EBUSY"
  | "EEXIST"
  | "EINVAL"
  | "EIO"
  | "EISDIR"
  | "ELOOP"
  | "ENODEV"
  | "ENOENT"
  | "ENOTBLK"
  | "ENOTCONN"
  | "ENOTDIR"
  | "ENOTEMPTY"
  | "ENOTTY"
  | "EOPNOTSUPP"
  | "EROFS"
  | "EXDEV";

/** The errors of system calls that a simulated machine gives, with their codes as the ports promise them. */
const ERRORS: Readonly<Record<Errno, readonly [FailureCode, string]>> = {
  EBUSY: ["failed_precondition", "device or resource busy"],
  EEXIST: ["already_exists", "it exists already"],
  EINVAL: ["invalid_argument", "invalid argument"],
  EIO: ["data_loss", "input/output error"],
  EISDIR: ["invalid_argument", "it is a directory"],
  ELOOP: ["invalid_argument", "it is a symbolic link"],
  ENODEV: ["unimplemented", "no such file system type"],
  ENOENT: ["not_found", "no such file or directory"],
  ENOTBLK: ["invalid_argument", "block device required"],
  ENOTCONN: ["failed_precondition", "quotas are off"],
  ENOTDIR: ["invalid_argument", "not a directory"],
  ENOTEMPTY: ["failed_precondition", "directory not empty"],
  ENOTTY: ["unimplemented", "the file system cannot do that"],
  EOPNOTSUPP: ["unimplemented", "operation not supported"],
  EROFS: ["failed_precondition", "read-only file system"],
  EXDEV: ["failed_precondition", "not on the same file system"],
};

/** The failure of a system call, as the ports word it: the call, the path and the errno. */
export function failureOf(call: string, path: string, errno: Errno): Failure {
  const [code, why] = ERRORS[errno];
  return new Failure(code, `Cannot ${call} ${path}: ${why} (${errno})`);
}
