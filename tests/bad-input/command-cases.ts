import { GUARDED, HELD, KEPT, TRASHED } from "./cases.ts";
import { BAD_NAMES, BAD_NEW_NAMES, BAD_OPTIONS, BAD_SIZES } from "./names.ts";

/** A command line, its exit code, and a part of its one line on standard error. */
export type CommandCase = readonly [argv: readonly string[], code: number, says: string];

const INVALID = 13;
const NOT_FOUND = 15;
const EXISTS = 16;
const PRECONDITION = 19;
const RANGE = 21;
const USAGE = 2;

/** What a command line can carry: the kernel takes no argument of more than 128 KiB, and none with NUL. */
const CARRIED = 100_000;
/** A word with a dash in front is a flag to every command. */
const names = [...BAD_NAMES, ...BAD_NEW_NAMES].filter(
  ([, name]) => name.length < CARRIED && !name.startsWith("-"),
);

/** Each costs a request only: the runner makes them in one process. */
export const COMMAND_CASES: readonly CommandCase[] = [
  ...names.map(([, name, says]): CommandCase => [["volume", "create", name], INVALID, says]),
  ...names
    .filter(([title]) => title !== "empty")
    .map(([, name, says]): CommandCase => [["volume", "rename", KEPT, name], INVALID, says]),
  ...BAD_SIZES.filter(([size]) => size.length < CARRIED).map(
    ([size, code, says]): CommandCase => [
      ["volume", "create", "data", `--size=${size}`],
      code === "out_of_range" ? RANGE : INVALID,
      says,
    ],
  ),
  ...BAD_OPTIONS.filter(([key]) => key !== "").map(
    ([key, value, code, says]): CommandCase => [
      ["volume", "create", "data", "-o", `${key}=${value}`],
      code === "not_found" ? NOT_FOUND : INVALID,
      says,
    ],
  ),
  [["volume", "create", "data", "--size", "1G"], PRECONDITION, "limit"],
  [["volume", "create", KEPT, "--uid", "5"], EXISTS, "it exists with other options"],
  [["volume", "create", "data", "-o", "=1G"], USAGE, "give KEY=VALUE"],
  [["volume", "create", "data", "-o", "uid=1", "-o", "uid=2"], USAGE, "-o uid twice"],
  [["volume", "create", "data", "--sise", "1G"], USAGE, "--size"],
  [["volume", "create", "-rf"], USAGE, "unknown option"],
  [["volume", "create", "data", "--label", "__proto__=x"], INVALID, "__proto__"],
  [["volume", "create", "data", "--label", "a b=x"], INVALID, "as a label"],
  [["volume", "create", "data", "--label", "a=\u001b[2J"], INVALID, "control characters"],
  [["volume", "set", KEPT, "--label", "__proto__=x"], INVALID, "__proto__"],
  [["volume", "set", KEPT, "--unlabel", "__proto__"], INVALID, "__proto__"],
  [["volume", "set", KEPT, "--label", "=x"], USAGE, "give KEY=VALUE"],
  [["volume", "set", KEPT, "--protect=maybe"], USAGE, "--protect"],
  [["volume", "set", "nobody", "--protect"], NOT_FOUND, "does not exist"],
  [["volume", "rm", HELD], PRECONDITION, "in use by process"],
  [["volume", "rm", GUARDED], PRECONDITION, "protected"],
  [["volume", "rm", "nobody"], NOT_FOUND, "does not exist"],
  [["volume", "rm", TRASHED], NOT_FOUND, "does not exist"],
  [["volume", "rm"], USAGE, "missing required argument"],
  [["volume", "rename", KEPT], USAGE, "missing required argument"],
  [["volume", "rename", KEPT, HELD], EXISTS, "has it already"],
  [["volume", "rename", HELD, "free"], PRECONDITION, "in use by process"],
  [["volume", "inspect", "../../v1/status"], INVALID, "reserved"],
  [["volume", "inspect", KEPT, "--format", "{{.Name"], USAGE, "fields are"],
  [["volume", "inspect", KEPT, "--format", "{{.constructor}}"], USAGE, "fields are"],
  [["volume", "inspect", KEPT, "--format", "{{.__proto__}}"], USAGE, "fields are"],
  [["volume", "inspect", KEPT, "--format", "{{range .}}{{end}}"], USAGE, "fields are"],
  [["volume", "ls", "--pool", "nowhere"], NOT_FOUND, "there is: default"],
  [["volume", "ls", "--pool", "../x"], INVALID, "as a pool name"],
  [["volume", "ls", "--label", ""], INVALID, "KEY or KEY=VALUE"],
  [["volume", "ls", "extra"], USAGE, "too many arguments"],
  [["volume", "explode", KEPT], USAGE, "unknown command"],
  [["trash", "restore", "../x"], INVALID, "in the trash"],
  [["trash", "restore", TRASHED, "--name", ".."], INVALID, "volume name"],
  [["trash", "restore", TRASHED, "--name", KEPT], EXISTS, "a volume has that name"],
  [["trash", "rm", "--force", "nobody"], NOT_FOUND, "lagan trash ls"],
  [["trash", "rm", "--force", ""], INVALID, "in the trash"],
  [["snapshot", "create", "data@"], INVALID, "give VOLUME"],
  [["snapshot", "create", KEPT, "--name", "beef"], INVALID, "taken for an id"],
  [["snapshot", "create", KEPT, "--name", "-x"], INVALID, "use a letter first"],
  [["snapshot", "create", KEPT, "-m", "x".repeat(4097)], INVALID, "4096"],
  [["snapshot", "create", KEPT, "-m", "a\u001b[2J"], INVALID, "control characters"],
  [["snapshot", "create", KEPT, "--pause", "--stop"], USAGE, "give one of them"],
  [["snapshot", "create", "nobody"], NOT_FOUND, "does not exist"],
  [["snapshot", "inspect", "@x"], USAGE, "give VOLUME@SNAPSHOT"],
  [["snapshot", "inspect", `${KEPT}@a@b`], USAGE, "give VOLUME@SNAPSHOT"],
  [["snapshot", "inspect", `${KEPT}@nope`], NOT_FOUND, "lagan log"],
  [["snapshot", "inspect", `${KEPT}@abc`], INVALID, "at least 4 digits"],
  [["snapshot", "rm", `${KEPT}@../x`], INVALID, "use a letter first"],
  [["restore", KEPT], USAGE, "give VOLUME@SNAPSHOT"],
  [["restore", `${KEPT}@nope`], NOT_FOUND, "lagan log"],
  [["log", "nobody"], NOT_FOUND, "does not exist"],
  [["diff", KEPT], USAGE, "give VOLUME@SNAPSHOT"],
  [["diff", `${KEPT}@`], INVALID, "give VOLUME"],
  [["diff", `${KEPT}@a...@b`], INVALID, "give VOLUME"],
  [["diff", `${KEPT}@nope`, "--stat", "--json"], USAGE, "give one of them"],
  [["clone", `${KEPT}@nope`, "fresh"], NOT_FOUND, "lagan log"],
  [["branch", "create", KEPT, "a@b"], INVALID, "use a letter first"],
  [["volume", "resize", KEPT, "banana"], INVALID, "as a size"],
  [["volume", "resize", KEPT, "1K"], RANGE, ""],
  [["volume", "resize", KEPT, "1G"], PRECONDITION, "cannot limit"],
  [["export", "nobody", "-o", "/proc/nowhere/x"], NOT_FOUND, ""],
  [["import", "/nonexistent", "fresh"], NOT_FOUND, "does not exist"],
  [["import", "/dev/null", "../x"], INVALID, "reserved"],
  [["import", "/dev/null", "fresh", "-o", `from=${KEPT}`], INVALID, "archive is the content"],
  [["import", "/dev/null", KEPT], EXISTS, "one of that name"],
  [["profile", "create", "DB", "--size", "1G"], INVALID, "as a profile name"],
  [["pool", "inspect", "../x"], INVALID, "as a pool name"],
  [["pool", "inspect", "nowhere"], NOT_FOUND, "there is: default"],
  [["operation", "inspect", "../x"], INVALID, "not a UUIDv7"],
  [["events", "--since", "-1"], USAGE, "--since"],
  [["events", "--since", "1e3"], USAGE, "--since"],
  [["reboot"], USAGE, "unknown command"],
  [["VOLUME", "ls"], USAGE, "unknown command"],
  [["--host", "", "volume", "ls"], USAGE, "give unix:///PATH"],
  [["--host", "http://localhost", "volume", "ls"], USAGE, "give unix:///PATH"],
  [["--nonsense", "volume", "ls"], USAGE, "unknown option"],
];

/** Each as a process of its own, through the program's entry. */
export const PROCESS_CASES: readonly CommandCase[] = [
  [["volume", "create", "../x"], INVALID, "reserved"],
  [["volume", "create", "data", "--size", "banana"], INVALID, "as a size"],
  [["volume", "rm", HELD], PRECONDITION, "in use by process"],
  [["volume", "explode"], USAGE, "unknown command"],
];
