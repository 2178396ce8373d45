import { z } from "zod";
import type {
  BranchBody,
  ChangeSnapshotBody,
  ExportBody,
  ProfileBody,
  RevertBody,
  TakeBody,
  TakeGroupBody,
  WireAccounts,
  WireDiffLine,
  WireExported,
  WireGroup,
  WireImported,
  WireProfile,
  WireRestored,
  WireSnapshot,
  WireTaken,
  WireTrashedSnapshot,
} from "./history-resource.ts";
import type { WirePage, WireVolume } from "./resource.ts";
import { named, page, VOLUME, VOLUME_PAGE } from "./schema.ts";

const time = z.iso.datetime().describe("RFC 3339, UTC");
const bytes = z.int().min(0);
const text = z.record(z.string(), z.string());

const snapshot = z.strictObject({
  id: z.string().describe("What people type after VOLUME@: the last 12 digits of uuid"),
  uuid: z.uuid(),
  volume: z.string().describe("The volume, or branch, that it was taken of"),
  name: z.string().nullable(),
  message: z.string(),
  labels: text,
  author: z.string().describe("Who asked for it, as the client said"),
  createdAt: time,
  cause: z.enum(["asked", "scheduled", "restore", "clone"]).describe("Why it was taken"),
  consistency: z
    .enum(["atomic", "frozen", "per-file", "unused", "stopped", "paused"])
    .describe("Of which instant its content is"),
  group: z.string().nullable(),
  protection: z.strictObject({ by: z.string(), at: time }).nullable(),
  tip: z.boolean().describe("The volume's head stands on it"),
  usedBytes: bytes.nullable().describe("What a reader finds; null: not measured"),
  exclusiveBytes: bytes.nullable().describe("What removing it would free; null: not measured"),
  revision: z.int().min(1).describe("Changes with every change of the record"),
});
const quiet = {
  containers: z.array(z.string()).describe("Those that were paused or stopped, and are as before"),
  faults: z.array(z.string()).describe("What could not be put back, in sentences"),
};

export const SNAPSHOT: z.ZodType<WireSnapshot> = named(
  "Snapshot",
  "An immutable point of a volume's history.",
  snapshot as z.ZodType<WireSnapshot>,
);
export const SNAPSHOT_PAGE: z.ZodType<WirePage<WireSnapshot>> = page("SnapshotPage", SNAPSHOT);
export const TRASHED_SNAPSHOT: z.ZodType<WireTrashedSnapshot> = named(
  "TrashedSnapshot",
  "A removed snapshot that can come back.",
  snapshot.extend({
    trashedAt: time,
    expiresAt: time.nullable(),
  }) as z.ZodType<WireTrashedSnapshot>,
);
export const TRASHED_SNAPSHOT_PAGE: z.ZodType<WirePage<WireTrashedSnapshot>> = page(
  "TrashedSnapshotPage",
  TRASHED_SNAPSHOT,
);
export const TAKEN: z.ZodType<WireTaken> = named(
  "TakenSnapshot",
  "A snapshot that was just taken.",
  snapshot.extend(quiet) as z.ZodType<WireTaken>,
);
export const GROUP: z.ZodType<WireGroup> = named(
  "SnapshotGroup",
  "Snapshots that were taken together.",
  z.strictObject({
    group: z.string(),
    snapshots: z.array(SNAPSHOT),
    skewMs: z
      .number()
      .min(0)
      .describe("Longest time between two of their instants; 0: they are of one"),
    ...quiet,
  }),
);
export const RESTORED: z.ZodType<WireRestored> = named(
  "Restored",
  "What a restore did; restoring kept undoes it.",
  z.strictObject({ volume: VOLUME, kept: SNAPSHOT, ...quiet }),
);
export const BRANCHES: z.ZodType<WirePage<WireVolume>> = VOLUME_PAGE;
export const PROFILE: z.ZodType<WireProfile> = named(
  "Profile",
  "Options that volumes made with it get.",
  z.strictObject({
    name: z.string(),
    options: text,
    createdAt: time.nullable().describe("Null: it stands in the configuration file"),
  }),
);
export const PROFILE_PAGE: z.ZodType<WirePage<WireProfile>> = page("ProfilePage", PROFILE);

const author = z.string().optional().describe("Who asks; shown with what was done");
const how = z.enum(["pause", "stop"]).optional().describe("Done to containers that write to it");

export const TAKE: z.ZodType<TakeBody> = named(
  "TakeSnapshot",
  "Asks for a snapshot.",
  z.strictObject({
    name: z.string().optional(),
    message: z.string().optional(),
    labels: text.optional(),
    author,
    quiet: how,
  }),
);
export const TAKE_GROUP: z.ZodType<TakeGroupBody> = named(
  "TakeGroup",
  "Asks for snapshots of several volumes.",
  z.strictObject({
    group: z.string(),
    volumes: z.array(z.string()).min(1, "give at least one").max(100, "give at most 100"),
    message: z.string().optional(),
    author,
    quiet: how,
  }),
);
export const CHANGE_SNAPSHOT: z.ZodType<ChangeSnapshotBody> = named(
  "ChangeSnapshot",
  "Changes a snapshot; what is absent stays.",
  z.strictObject({
    name: z.string().nullable().optional().describe("Null takes the name away"),
    message: z.string().optional(),
    labels: z.record(z.string(), z.string().nullable()).optional(),
    protect: z.boolean().optional(),
    author,
  }),
);
export const REVERT: z.ZodType<RevertBody> = named(
  "RestoreSnapshot",
  "Asks for a restore.",
  z.strictObject({
    snapshot: z.string().describe("Its name, or the beginning of its id"),
    author,
    stop: z
      .boolean()
      .optional()
      .describe("Stops the containers that use it, and starts them again"),
  }),
);
export const BRANCH: z.ZodType<BranchBody> = named(
  "CreateBranch",
  "Asks for a branch.",
  z.strictObject({
    name: z.string(),
    from: z
      .string()
      .optional()
      .describe("A snapshot or branch of the volume; absent: what it holds now"),
    author,
  }),
);
export const NEW_PROFILE: z.ZodType<ProfileBody> = named(
  "CreateProfile",
  "Makes a profile.",
  z.strictObject({
    name: z.string(),
    options: text.describe("As docker volume create -o takes them"),
  }),
);

const change = z.strictObject({
  path: z
    .string()
    .describe("Below the root; % and bytes that are not UTF-8 as % and two hex digits"),
  kind: z.enum(["added", "changed", "removed"]),
  type: z.enum(["file", "directory", "symlink", "other"]),
  bytesBefore: z.int().min(0),
  bytesAfter: z.int().min(0),
});
const count = z.int().min(0);
export const DIFF_LINE: z.ZodType<WireDiffLine> = named(
  "DiffLine",
  "One difference; or the last line, without which the comparison was cut off.",
  z.union([
    change,
    z.strictObject({
      summary: z.strictObject({
        ...{ added: count, changed: count, removed: count },
        ...{ bytesBefore: count, bytesAfter: count },
      }),
    }),
  ]),
);
const fileNumbers = "give the number of an open file: a whole number from 0";
/** How a client knows one of its open files. */
export const FILE_NUMBER: z.ZodType<number> = z
  .int(fileNumbers)
  .min(0, fileNumbers)
  .max(2 ** 31 - 1, fileNumbers);
/** Which file a number means, also when something passes the connection on. */
export const FILE_INODE: z.ZodType<string> = z
  .string()
  .regex(/^\d{1,20}:\d{1,20}$/, "give DEVICE:INODE")
  .describe("DEVICE:INODE of that file, as the client sees them");
export const EXPORT_BODY: z.ZodType<ExportBody> = named(
  "WriteExport",
  "Asks for an archive in a file that the client has open.",
  z.strictObject({
    at: z
      .string()
      .optional()
      .describe("Name of a snapshot, or digits of its id; absent: as it is now"),
    file: FILE_NUMBER.describe(
      "An open regular file or pipe of the client, by its number there, that the archive is written to",
    ),
    inode: FILE_INODE,
  }),
);
export const EXPORTED: z.ZodType<WireExported> = named(
  "Exported",
  "An archive that was written.",
  z.strictObject({ bytes: bytes.nullable().describe("null: a pipe does not tell") }),
);
export const IMPORTED: z.ZodType<WireImported> = named(
  "Imported",
  "A volume that was made from an archive.",
  z.strictObject({
    volume: VOLUME,
    entries: z.int(),
    receivedBytes: z.int().min(0),
    sha256: z.string(),
    notes: z.array(z.string()),
  }),
);

const account = {
  ...{ id: z.uuid(), name: z.string(), trashed: z.boolean() },
  ...{ usedBytes: z.int().min(0).nullable(), exclusiveBytes: z.int().min(0).nullable() },
};
export const ACCOUNTS: z.ZodType<WireAccounts> = named(
  "Accounts",
  "What volumes and snapshots hold, from records; null: not measured since the daemon started.",
  z.strictObject({
    volumes: z.array(
      z.strictObject({
        ...account,
        sizeBytes: z.int().min(0).nullable(),
        snapshots: z.array(z.strictObject(account)),
      }),
    ),
  }),
);
