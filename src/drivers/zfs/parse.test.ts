import { expect, it } from "vitest";
import {
  liesOn,
  parseBytes,
  parseHealth,
  parseImportable,
  parseProperties,
  reasonOf,
  zfsFailure,
} from "./parse.ts";

// Output of zfs-fuse 0.7.0 (Debian 12) unless a line says otherwise.
const SAID: readonly (readonly [string, string, string])[] = [
  [
    "connect: No such file or directory\nPlease make sure that the zfs-fuse daemon is running.\ninternal error: failed to initialize ZFS library\n",
    "unavailable",
    "down",
  ],
  // OpenZFS 2.1
  [
    "The ZFS modules are not loaded.\nTry running '/sbin/modprobe zfs' as root to load them.\n",
    "unavailable",
    "down",
  ],
  ["cannot open 'tank': pool I/O is currently suspended\n", "unavailable", "down"],
  ["cannot open 'p1/nope': dataset does not exist\n", "not_found", "absent"],
  ["cannot open 'nopool': no such pool\n", "not_found", "absent"],
  ["cannot create snapshot 'p1/one@s1': dataset already exists\n", "already_exists", "present"],
  ["cannot mount 'p1/one': filesystem already mounted\n", "already_exists", "present"],
  ["cannot destroy 'p1/two': dataset is busy\n", "failed_precondition", "busy"],
  ["cannot mount 'p1/four': mountpoint or dataset is busy\n", "failed_precondition", "busy"],
  [
    "umount: /mnt/one: target is busy.\ncannot unmount '/mnt/one': umount failed: umount child process failed\n",
    "failed_precondition",
    "busy",
  ],
  [
    "cannot destroy 'p1/one': filesystem has children\nuse '-r' to destroy the following datasets:\np1/one@s1\n",
    "failed_precondition",
    "dependents",
  ],
  [
    "cannot destroy 'p1/one@s2': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\np1/two\n",
    "failed_precondition",
    "dependents",
  ],
  [
    "cannot set property for 'p1/one': size is less than current used or reserved space\n",
    "failed_precondition",
    "other",
  ],
  ["cannot create 'p1/x': out of space\n", "resource_exhausted", "other"],
  ["cannot set property for 'p1': invalid property 'acltype'\n", "unimplemented", "other"],
  ["something new\n", "unknown", "other"],
];

it.each(SAID)("reads %j", (stderr, code, reason) => {
  const failure = zfsFailure("Cannot try", { code: 1, stdout: "", stderr });
  expect(failure.code).toBe(code);
  expect(reasonOf(failure)).toBe(reason);
  expect(failure.message).toMatch(/^Cannot try: \S/);
});

it("says how to start what is not running", () => {
  const [[stderr] = [""]] = SAID;
  const { message } = zfsFailure("Cannot try", { code: 1, stdout: "", stderr });
  expect(message).toContain("systemctl start zfs-fuse");
});

it("tells a failure of ZFS from any other", () => {
  expect(reasonOf(new Error("busy"))).toBeUndefined();
});

it("reads exact properties", () => {
  const text =
    "p1/two\torigin\tp1/one@s2\np1/two\trefquota\t0\np1/two\treadonly\ton\np1/one\torigin\t-\n";
  const read = parseProperties(text);
  expect(read.get("p1/two")?.get("origin")).toBe("p1/one@s2");
  expect(read.get("p1/two")?.get("readonly")).toBe("on");
  expect(read.get("p1/one")?.get("origin")).toBe("-");
});

it("reads figures, and no other text", () => {
  expect(parseBytes("4308992")).toBe(4308992);
  for (const text of ["4.11M", "-", "", undefined, "99999999999999999999"]) {
    expect(() => parseBytes(text)).toThrow("Cannot read a figure");
  }
});

const STATUS =
  "  pool: tank\n state: ONLINE\n scrub: none requested\nconfig:\n\n\tNAME  STATE\n\ttank  ONLINE\n\nerrors: No known data errors\n";

it("reads a pool's health", () => {
  const as = (state: string): string => STATUS.replace("state: ONLINE", `state: ${state}`);
  expect(parseHealth("tank", STATUS)).toEqual({ state: "up" });
  expect(parseHealth("tank", as("DEGRADED")).state).toBe("warning");
  for (const health of ["FAULTED", "UNAVAIL", "OFFLINE", "REMOVED"]) {
    const read = parseHealth("tank", as(health));
    expect(read).toMatchObject({ state: "faulted", why: expect.stringContaining(health) });
  }
  expect(parseHealth("tank", as("SUSPENDED"))).toMatchObject({
    state: "faulted",
    why: expect.stringContaining("zpool clear tank"),
  });
  expect(parseHealth("tank", "").state).toBe("faulted");
});

it("sees that a pool is stopped which is still called ONLINE, and that data is damaged", () => {
  const stopped = `status: One or more devices are faulted in response to IO failures.
action: Make sure the affected devices are connected, then run 'zpool clear'.
   see: http://www.sun.com/msg/ZFS-8000-JQ
 scrub: none requested`;
  const text = STATUS.replace(" scrub: none requested", stopped);
  expect(parseHealth("tank", text).state).toBe("faulted");
  const damaged = "errors: 2 data errors, use '-v' for a list";
  expect(
    parseHealth("tank", STATUS.replace("errors: No known data errors", damaged)),
  ).toMatchObject({ state: "warning", why: expect.stringContaining("damaged") });
});

it("reads which pools can be imported", () => {
  const text =
    "  pool: p1\n    id: 17445149976344306725\n state: ONLINE\naction: The pool can be imported using its name or numeric identifier.\nconfig:\n\n\tp1                 ONLINE\n\t  /a/vdev  ONLINE\n";
  expect(parseImportable(text)).toEqual(["p1"]);
  // OpenZFS 2.1 indents by three.
  expect(parseImportable(`${text}   pool: p2\n`)).toEqual(["p1", "p2"]);
  expect(parseImportable("")).toEqual([]);
});

it("sees what a pool lies on", () => {
  const text =
    "  pool: p1\n state: ONLINE\n scrub: none requested\nconfig:\n\n\tNAME                  STATE     READ WRITE CKSUM\n\tp1                    ONLINE       0     0     0\n\t  /a/vdev/pool.img  ONLINE       0     0     0\n\nerrors: No known data errors\n";
  expect(liesOn("/a/vdev/pool.img", text)).toBe(true);
  expect(liesOn("/a/vdev/pool", text)).toBe(false);
  expect(liesOn("/vdev/pool.img", text)).toBe(false);
});
