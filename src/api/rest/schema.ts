import { z } from "zod";
import type { FailureCode } from "../../core/failure.ts";
import type {
  ChangeVolumeBody,
  CreateVolumeBody,
  RestoreBody,
  WireEmptied,
  WireEvent,
  WireExamination,
  WireOperation,
  WirePage,
  WirePool,
  WireProblem,
  WireRemoved,
  WireStatus,
  WireTrashed,
  WireUsage,
  WireVolume,
} from "./resource.ts";
import { HTTP_STATUS } from "./status.ts";

/** Most items of one page of a listing. */
export const PAGE_SIZE_LIMIT = 500;
/** Items of a page when nobody says. */
export const PAGE_SIZE = 100;

/** The schemas that have a name in the OpenAPI document. */
export const COMPONENTS: z.core.$ZodRegistry<{ id: string; description?: string }> = z.registry();

/** `schema` under a name in the document. */
export function named<T extends z.ZodType>(id: string, description: string, schema: T): T {
  COMPONENTS.add(schema, { id, description });
  return schema;
}

const time = z.iso.datetime().describe("RFC 3339, UTC");
const bytes = z.int().min(0);
const text = z.record(z.string(), z.string());

const health = named(
  "Health",
  "Whether it serves; why is a whole sentence.",
  z.discriminatedUnion("state", [
    z.strictObject({ state: z.literal("ok") }),
    z.strictObject({ state: z.literal("warning"), why: z.string() }),
    z.strictObject({ state: z.literal("faulted"), why: z.string() }),
  ]),
);

const volume = z.strictObject({
  id: z.uuid(),
  name: z.string(),
  pool: z.string(),
  driver: z.string(),
  sizeBytes: bytes.nullable().describe("Most bytes that it may hold; null: no limit"),
  block: z.boolean().describe("It is a block device, not a tree of files"),
  usedBytes: bytes.nullable().describe("As last measured; null: not since the daemon started"),
  usedAt: time.nullable(),
  labels: text,
  protected: z.boolean().describe("Refuses removal while true"),
  protection: z.strictObject({ by: z.string(), at: time }).nullable(),
  branch: z
    .strictObject({ of: z.uuid(), name: z.string() })
    .nullable()
    .describe("Of what it is a branch; null: it is a volume of its own"),
  tip: z.string().nullable().describe("Id of the snapshot that its head stands on"),
  from: z.string().nullable().describe("Id of the snapshot that it was made from"),
  image: z
    .strictObject({ reference: z.string(), path: z.string(), id: z.string().nullable() })
    .nullable()
    .describe("The image that it was made from, as it was asked for, and the directory in it"),
  schedule: z.strictObject({ every: z.string(), keep: z.string() }).nullable(),
  scheduleStatus: z
    .strictObject({
      lastAt: time.nullable(),
      nextAt: time,
      kept: z.int(),
      lossWindowMs: z.number().nullable().describe("Age of the oldest work that is in no snapshot"),
      failing: z.string().nullable(),
    })
    .nullable()
    .optional()
    .describe("Where the schedule stands; absent in listings"),
  path: z
    .string()
    .nullable()
    .optional()
    .describe("Its directory on this node; null: mounted only while used; absent in listings"),
  createdAt: time,
  options: z.strictObject({
    uid: z.int(),
    gid: z.int(),
    mode: z.string().describe("Permission bits of the root in octal"),
    profile: z.string().nullable(),
  }),
  mounts: z.int().min(0).describe("Mounts that engines have announced and not taken back"),
  health,
  revision: z.int().min(1).describe("Changes with every change of the record; the ETag"),
});

const trashed = volume.extend({
  trashedAt: time,
  expiresAt: time
    .nullable()
    .describe("When it is removed for good; null: when the trash is emptied"),
});

/** Answers and requests, each held to the type of the wire. */
export const VOLUME: z.ZodType<WireVolume> = named("Volume", "A volume.", volume);
export const TRASHED: z.ZodType<WireTrashed> = named(
  "TrashedVolume",
  "A removed volume that can come back.",
  trashed,
);
export const REMOVED: z.ZodType<WireRemoved> = named(
  "RemovedVolume",
  "A volume that was just removed.",
  trashed.extend({
    restorable: z.boolean().describe("False: the trash is turned off, and it is gone for good"),
  }),
);
export const USAGE: z.ZodType<WireUsage> = named(
  "Usage",
  "What a volume holds, measured for this answer.",
  z.strictObject({
    usedBytes: bytes.describe("What a reader finds, shared bytes included"),
    exclusiveBytes: bytes.describe("What removing it would free"),
    sizeBytes: bytes.nullable(),
    measuredAt: time,
  }),
);
const gone = z.strictObject({ id: z.uuid(), name: z.string() });
export const EMPTIED: z.ZodType<WireEmptied> = named(
  "EmptiedTrash",
  "What emptying the trash did; those that failed are still there and can be tried again.",
  z.strictObject({ removed: z.array(gone), failed: z.array(gone.extend({ why: z.string() })) }),
);
export const POOL: z.ZodType<WirePool> = named(
  "Pool",
  "A pool.",
  z.strictObject({
    name: z.string(),
    driver: z.string(),
    why: z.string().describe("Why it has this driver"),
    options: text,
    createdAt: time,
    health,
    totalBytes: bytes.nullable().describe("Null while the pool is faulted"),
    availableBytes: bytes.nullable(),
    traits: z.strictObject({
      sizeLimit: z
        .enum(["EDQUOT", "ENOSPC"])
        .nullable()
        .describe("What a writer over the limit gets; null: volumes cannot be limited"),
      liveSnapshots: z.enum(["atomic", "frozen", "per-file"]).nullable(),
      instantClones: z.boolean(),
      instantUsage: z.boolean(),
    }),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  }),
);
export const OPERATION: z.ZodType<WireOperation> = named(
  "Operation",
  "A piece of work of several steps, carried on after a crash.",
  z.strictObject({
    id: z.uuid(),
    verb: z.string(),
    volumeId: z.uuid().nullable().describe("Null: it is about an image"),
    target: z.string().describe("Name of the volume or image when the work began"),
    state: z.enum(["running", "done", "failed"]),
    startedAt: time,
    finishedAt: time.nullable(),
    why: z.string().nullable(),
    doneBytes: bytes.nullable().describe("Of content that is being copied: how much is there"),
    totalBytes: bytes.nullable().describe("How much it will be; null while it is being counted"),
  }),
);
export const EVENT: z.ZodType<WireEvent> = named(
  "Event",
  "Something that happened; the data of one server-sent event, whose id is the sequence.",
  z.strictObject({
    sequence: z.int().min(1),
    at: time,
    type: z.string(),
    level: z.enum(["info", "warning"]),
    subject: z.string(),
    message: z.string(),
  }),
);
export const STATUS: z.ZodType<WireStatus> = named(
  "Status",
  "The daemon in short.",
  z.strictObject({
    version: z.string(),
    startedAt: time,
    volumes: z.int(),
    trashed: z.int(),
    runningOperations: z.int(),
    pools: z.array(z.strictObject({ name: z.string(), driver: z.string(), health })),
  }),
);
export const EXAMINATION: z.ZodType<WireExamination> = named(
  "Examination",
  "What the doctor found, in reading order.",
  z.strictObject({
    findings: z.array(
      z.strictObject({
        level: z.enum(["ok", "warn", "error"]),
        check: z.string(),
        saw: z.string(),
        advice: z.string().optional(),
      }),
    ),
  }),
);
export const HEALTHZ: z.ZodType<{ status: "ok" }> = named(
  "Alive",
  "The daemon and its store answer.",
  z.strictObject({ status: z.literal("ok") }),
);
const codes = Object.keys(HTTP_STATUS) as [FailureCode, ...FailureCode[]];
export const PROBLEM: z.ZodType<WireProblem> = named(
  "Problem",
  "A failure (RFC 9457): detail is the message; facts about it may stand beside.",
  z.looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(codes),
    detail: z.string(),
    traceId: z.string(),
  }),
);

/** A page of `item`, under a name of its own. */
export const page = <T>(id: string, item: z.ZodType<T>): z.ZodType<WirePage<T>> =>
  named(
    id,
    "One page of a listing.",
    z.strictObject({
      items: z.array(item),
      nextPageToken: z.string().nullable().describe("For the next page; null: this is the last"),
    }),
  );
export const VOLUME_PAGE: z.ZodType<WirePage<WireVolume>> = page("VolumePage", VOLUME);
export const TRASH_PAGE: z.ZodType<WirePage<WireTrashed>> = page("TrashPage", TRASHED);
export const POOL_PAGE: z.ZodType<WirePage<WirePool>> = page("PoolPage", POOL);
export const OPERATION_PAGE: z.ZodType<WirePage<WireOperation>> = page("OperationPage", OPERATION);

export const CREATE_VOLUME: z.ZodType<CreateVolumeBody> = named(
  "CreateVolume",
  "Asks for a new volume.",
  z.strictObject({
    name: z.string(),
    options: text
      .optional()
      .describe(
        "As docker volume create -o: size, pool, profile, uid, gid, mode, protect, from, from-image, from-image-path, schedule, keep, label.KEY",
      ),
    labels: text.optional(),
    author: z.string().optional().describe("Who asks; shown with a protection"),
  }),
);
export const CHANGE_VOLUME: z.ZodType<ChangeVolumeBody> = named(
  "ChangeVolume",
  "Changes a volume; what is absent stays.",
  z.strictObject({
    labels: z
      .record(z.string(), z.string().nullable())
      .optional()
      .describe("A null value takes the label away"),
    protect: z.boolean().optional(),
    name: z.string().optional().describe("The new name"),
    sizeBytes: bytes.nullable().optional().describe("The new limit; null: none"),
    schedule: z
      .string()
      .optional()
      .describe("How often a snapshot is taken, such as 15m; none: never"),
    keep: z.string().optional().describe("Which of those stay, such as hourly=24,daily=7"),
    author: z.string().optional().describe("Who asks; shown with a protection"),
  }),
);
export const RESTORE: z.ZodType<RestoreBody> = named(
  "Restore",
  "Takes a volume out of the trash.",
  z.strictObject({ name: z.string().optional().describe("Another name than it had") }),
);
