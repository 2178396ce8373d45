import { GUARDED, HELD } from "./cases.ts";

/** Arguments for an engine's command, its exit status, and a part of what it must say. */
export type EngineCase = readonly [argv: readonly string[], status: number, says: RegExp];

const CREATE = ["volume", "create", "-d", "lagan"];
const PODMAN_CREATE = ["volume", "create", "--driver=lagan"];

/** What Docker's command hands on to us; what it refuses by itself never comes here. */
export const DOCKER_COMMANDS: readonly EngineCase[] = [
  [[...CREATE, "../x"], 1, /Cannot use "\.\.\/x" as a volume name/],
  [[...CREATE, ".."], 1, /as a volume name/],
  [[...CREATE, "a/b"], 1, /reserved/],
  [[...CREATE, "x".repeat(129)], 1, /it has 129 characters/],
  [[...CREATE, "d\u0430ta"], 1, /as a volume name/],
  [[...CREATE, "da\u202eta"], 1, /\\u202e/],
  [[...CREATE, "da\u001b[2Jta"], 1, /\\u001b/],
  [[...CREATE, "-o", "size=-1", "data"], 1, /Cannot use "-1" as a size/],
  [[...CREATE, "-o", "size=0", "data"], 1, /the smallest is 1 MiB/],
  [[...CREATE, "-o", "size=1e99", "data"], 1, /as a size/],
  [[...CREATE, "-o", "size=10 GB", "data"], 1, /as a size/],
  [[...CREATE, "-o", "size=banana", "data"], 1, /as a size/],
  [[...CREATE, "-o", "size=9007199254740993", "data"], 1, /the largest is 8 PiB/],
  [[...CREATE, "-o", "colour=red", "data"], 1, /"colour": it is unknown/],
  [[...CREATE, "-o", "__proto__=x", "data"], 1, /__proto__/],
  [[...CREATE, "-o", "mode=0o755", "data"], 1, /octal/],
  [["volume", "rm", HELD], 1, /in use by process/],
  [["volume", "rm", GUARDED], 1, /protected/],
  [["volume", "rm", "-f", HELD], 1, /in use by process/],
  [["volume", "inspect", "nobody"], 1, /[Nn]o such volume/],
];

/** The same by Podman, which refuses some names by itself. */
export const PODMAN_COMMANDS: readonly EngineCase[] = [
  [[...PODMAN_CREATE, "x".repeat(129)], 125, /it has 129 characters/],
  [[...PODMAN_CREATE, "x"], 125, /at least 2 characters/],
  [[...PODMAN_CREATE, "../x"], 125, /names must match|as a volume name|invalid/],
  [[...PODMAN_CREATE, "-o", "size=banana", "data"], 125, /as a size/],
  [[...PODMAN_CREATE, "-o", "size=-1", "data"], 125, /as a size/],
  [[...PODMAN_CREATE, "-o", "colour=red", "data"], 125, /it is unknown/],
  [[...PODMAN_CREATE, "-o", "protect=maybe", "data"], 125, /true or false/],
  [["volume", "inspect", "nobody"], 125, /no such volume/],
  [["volume", "rm", "nobody"], 1, /no such volume/],
];
