import { z } from "zod";
import { FILE_INODE, FILE_NUMBER } from "./history-schema.ts";
import { PAGE_SIZE, PAGE_SIZE_LIMIT } from "./schema.ts";

/** Which page of a listing. */
export interface PageQuery {
  readonly page_size: number;
  readonly page_token?: string | undefined;
}

/** Which volumes. */
export interface VolumesQuery extends PageQuery {
  readonly label?: readonly string[] | undefined;
  readonly pool?: string | undefined;
  readonly unused?: boolean | undefined;
}

/** Which events, and whether to wait for more. */
export interface EventsQuery {
  readonly since?: number | undefined;
  readonly follow: boolean;
}

/** What is compared with what. */
export interface DiffQuery {
  readonly from: string;
  readonly to?: string | undefined;
}

/** What goes into an archive, and how. */
export interface ExportQuery {
  readonly at?: string | undefined;
  readonly compress?: "zstd" | undefined;
}

/** What an archive becomes. */
export interface ImportQuery {
  readonly option?: readonly string[] | undefined;
  readonly devices?: boolean | undefined;
  readonly author?: string | undefined;
  readonly file?: number | undefined;
  readonly inode?: string | undefined;
}

/** A whole number in a query, where everything comes as text. */
const number = (schema: z.ZodType<number>): z.ZodType<number> =>
  z.preprocess(
    (value) => (typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value),
    schema,
  );
const flag = z.preprocess(
  (value) => (value === "true" ? true : value === "false" ? false : value),
  z.boolean("give true or false"),
);
const once = z.string("give it once");

const pageSizes = `give a whole number from 1 to ${PAGE_SIZE_LIMIT}`;
const paging = {
  page_size: number(z.int(pageSizes).min(1, pageSizes).max(PAGE_SIZE_LIMIT, pageSizes))
    .default(PAGE_SIZE)
    .describe("Items of the page"),
  page_token: once.optional().describe("nextPageToken of the page before"),
};

export const PAGE_QUERY: z.ZodType<PageQuery> = z.strictObject(paging);
export const VOLUMES_QUERY: z.ZodType<VolumesQuery> = z.strictObject({
  ...paging,
  label: z
    .preprocess(
      (value) => (typeof value === "string" ? [value] : value),
      z.array(z.string().min(1, "give KEY or KEY=VALUE")).max(64, "give at most 64"),
    )
    .optional()
    .describe("KEY or KEY=VALUE; may be given several times, and all must hold"),
  pool: once.optional().describe("Only volumes of this pool"),
  unused: flag
    .optional()
    .describe("true: only those that no container uses now, as engines and mount tables say"),
});
const sequences = "give the sequence of an event: a whole number from 0";
export const EVENTS_QUERY: z.ZodType<EventsQuery> = z.strictObject({
  since: number(z.int(sequences).min(0, sequences))
    .optional()
    .describe("First the events after this one that are still kept; 0: all of them"),
  follow: flag.default(true).describe("false: end after what has happened already"),
});
export const DIFF_QUERY: z.ZodType<DiffQuery> = z.strictObject({
  from: once.describe("VOLUME@SNAPSHOT, VOLUME@BRANCH or VOLUME"),
  to: once.optional().describe("Likewise; absent: the volume of the path as it is now"),
});
export const EXPORT_QUERY: z.ZodType<ExportQuery> = z.strictObject({
  at: once.optional().describe("Name of a snapshot, or digits of its id; absent: as it is now"),
  compress: z.enum(["zstd"], "give zstd").optional(),
});
export const IMPORT_QUERY: z.ZodType<ImportQuery> = z.strictObject({
  option: z
    .preprocess(
      (value) => (typeof value === "string" ? [value] : value),
      z.array(z.string().regex(/=/, "give KEY=VALUE")).max(128, "give at most 128"),
    )
    .optional()
    .describe("KEY=VALUE as docker volume create -o takes it; may be given several times"),
  devices: flag.optional().describe("true: device nodes are made; else they are refused"),
  author: once.optional().describe("Who asks"),
  file: number(FILE_NUMBER)
    .optional()
    .describe(
      "An open regular file or pipe of the client, by its number there, that the archive is read from instead of the body; 501: it cannot be, so send it",
    ),
  inode: FILE_INODE.optional(),
});
/** For routes that take none. */
export const NO_QUERY: z.ZodType<Readonly<Record<string, never>>> = z.strictObject({});
