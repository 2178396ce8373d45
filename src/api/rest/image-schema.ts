import { z } from "zod";
import type {
  PruneImagesBody,
  PullBody,
  WireImage,
  WireImages,
  WireLayer,
  WirePruned,
  WireRemovedImage,
} from "./image-resource.ts";
import type { WirePage } from "./resource.ts";
import { named, page } from "./schema.ts";

const text = z.string();
const texts = z.array(text);
const time = z.iso.datetime();
const bytes = z.int().min(0);

/** Answers and requests about images. */
export const IMAGE: z.ZodType<WireImage> = named(
  "Image",
  "An image whose layers are here.",
  z.strictObject({
    id: text.describe("Digest of its configuration"),
    names: texts,
    manifest: text.nullable().describe("Digest of its manifest; null: an archive without one"),
    os: text,
    architecture: text,
    variant: text.nullable(),
    createdAt: time.nullable().describe("When it was made, as it says"),
    importedAt: time,
    pool: text,
    sizeBytes: bytes.describe("Content of all its layers"),
    ownBytes: bytes.describe("Content of those that nobody else has"),
    volumes: texts.describe("Volumes that were made from it"),
    layers: z.array(
      z.strictObject({
        chainId: text,
        diffId: text,
        sizeBytes: bytes,
        sharedWith: texts.describe("Other images by name, engines by containerd or docker"),
      }),
    ),
    config: z.strictObject({
      user: text,
      env: texts,
      entrypoint: texts,
      cmd: texts,
      workingDir: text,
      labels: z.record(text, text),
      volumes: texts,
      ports: texts,
    }),
    history: z.array(
      z.strictObject({ created: text, createdBy: text, comment: text, empty: z.boolean() }),
    ),
  }),
);
export const IMAGE_PAGE: z.ZodType<WirePage<WireImage>> = page("ImagePage", IMAGE);
export const LAYER: z.ZodType<WireLayer> = named(
  "Layer",
  "A layer of an image, a container, a volume or a snapshot.",
  z.strictObject({
    id: text,
    pool: text,
    kind: z.enum(["active", "view", "committed"]),
    parent: text.nullable().describe("The layer that it was made from, when that is still here"),
    chainId: text.nullable(),
    sizeBytes: bytes.nullable().describe("What it adds, as far as somebody has counted it"),
    usedBy: texts.describe("What needs it, such as image app:1 or volume data; empty: it goes"),
  }),
);
export const LAYER_PAGE: z.ZodType<WirePage<WireLayer>> = page("LayerPage", LAYER);
export const IMAGES: z.ZodType<WireImages> = named(
  "Images",
  "Images that were brought.",
  z.strictObject({ images: z.array(IMAGE) }),
);
export const REMOVED_IMAGE: z.ZodType<WireRemovedImage> = named(
  "RemovedImage",
  "What the removal of an image did.",
  z.strictObject({
    id: text,
    untagged: texts.describe("Names that it lost"),
    removed: z.boolean().describe("False: it is still here, under other names"),
  }),
);
export const PRUNED: z.ZodType<WirePruned> = named(
  "PrunedImages",
  "What removing the unused images did.",
  z.strictObject({ removed: z.array(REMOVED_IMAGE) }),
);
export const PULL: z.ZodType<PullBody> = named(
  "PullImage",
  "Asks for an image of a registry. A login comes in X-Registry-Auth, as Docker's API has it.",
  z.strictObject({
    reference: text.describe("NAME, NAME:TAG, NAME@DIGEST, with HOST/ before it when not Docker's"),
    platform: text.optional().describe("OS/ARCHITECTURE; absent: that of the daemon"),
    tag: text.optional().describe("Name that it gets in place of its own"),
  }),
);
export const PRUNE_IMAGES: z.ZodType<PruneImagesBody> = named(
  "PruneImages",
  "Asks for the end of images without a name.",
  z.strictObject({
    all: z.boolean().optional().describe("Also those with one, from which no volume was made"),
  }),
);

/** How an archive comes in. */
export interface ImportImageQuery {
  readonly platform?: string | undefined;
  readonly tag?: string | undefined;
}
/** What becomes an image. */
export interface CommitImageQuery {
  readonly at?: string | undefined;
  readonly tag: string;
}
/** How an image is removed. */
export interface RemoveImageQuery {
  readonly force?: boolean | undefined;
}
export const IMPORT_IMAGE_QUERY: z.ZodType<ImportImageQuery> = z.strictObject({
  platform: z.string("give it once").optional().describe("Which, of an archive for several"),
  tag: z.string("give it once").optional().describe("Name that it gets in place of its own"),
});
export const COMMIT_IMAGE_QUERY: z.ZodType<CommitImageQuery> = z.strictObject({
  at: z.string("give it once").optional().describe("Snapshot; absent: what the volume holds now"),
  tag: z.string("give NAME:TAG").describe("Name of the image"),
});
export const REMOVE_IMAGE_QUERY: z.ZodType<RemoveImageQuery> = z.strictObject({
  force: z
    .preprocess(
      (value) => (value === "true" ? true : value === "false" ? false : value),
      z.boolean("give true or false"),
    )
    .optional()
    .describe("true: by id also with several names"),
});
