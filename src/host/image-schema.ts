import { z } from "zod";
import { Failure } from "../core/failure.ts";
import { type Digest, isDigest } from "../core/image/digest.ts";
import { quote } from "../core/name.ts";

/*
 * What is read of the documents of an image (OCI image spec 1.1, Docker's image manifest 2.2, `docker save`). What the
 * specs do not name is passed over, as they ask for; what they name must be of its form.
 */

/** Most layers of one image: more than any engine makes, and what the kernel's overlay can stack (500). */
export const LAYERS_LIMIT = 500;
/** Most entries of an index. */
export const INDEX_LIMIT = 1000;
/** Largest manifest or index, in bytes: that of registries. */
export const MANIFEST_LIMIT_BYTES: number = 4 * 1024 ** 2;
/** Largest configuration, in bytes: it is kept in a record, which may have 1 MiB. */
export const CONFIG_LIMIT_BYTES: number = 512 * 1024;
/** Largest content of one blob, in bytes: 16 TiB, what an ext4 file may have. */
const BLOB_LIMIT_BYTES = 16 * 1024 ** 4;

/** Media types, as they are asked for and answered. */
export const MEDIA_TYPE = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

/** How a layer of this media type is packed; `foreign`: its bytes lie elsewhere. */
const PACKING_OF_LAYER: Readonly<Record<string, "plain" | "gzip" | "zstd">> = {
  "application/vnd.oci.image.layer.v1.tar": "plain",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "plain",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
};

/** What names a blob, and says what it is. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** Where else its bytes lie: not used. */
  readonly urls?: readonly string[] | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly platform?:
    | {
        readonly os: string;
        readonly architecture: string;
        readonly variant?: string | undefined;
      }
    | undefined;
}

/** Several manifests: of platforms, or of the images of a layout. */
export interface IndexDocument {
  readonly manifests: readonly Descriptor[];
}

/** What an image is made of. */
export interface ManifestDocument {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What an image says of itself. */
export interface ConfigDocument {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string | undefined;
  readonly created?: string | null | undefined;
  readonly rootfs: { readonly diff_ids: readonly Digest[] };
  readonly config?:
    | {
        readonly User?: string | null | undefined;
        readonly Env?: readonly string[] | null | undefined;
        readonly Entrypoint?: readonly string[] | null | undefined;
        readonly Cmd?: readonly string[] | null | undefined;
        readonly WorkingDir?: string | null | undefined;
        readonly Labels?: Readonly<Record<string, string>> | null | undefined;
        readonly Volumes?: Readonly<Record<string, unknown>> | null | undefined;
        readonly ExposedPorts?: Readonly<Record<string, unknown>> | null | undefined;
      }
    | null
    | undefined;
  readonly history?:
    | readonly {
        readonly created?: string | null | undefined;
        readonly created_by?: string | null | undefined;
        readonly comment?: string | null | undefined;
        readonly empty_layer?: boolean | null | undefined;
      }[]
    | null
    | undefined;
}

/** `manifest.json` of `docker save`. */
export type ArchiveDocument = readonly {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null | undefined;
  readonly Layers: readonly string[];
}[];

const text = z.string().max(64 * 1024);
const digest = z.custom<Digest>(
  (value) => typeof value === "string" && isDigest(value),
  "must be a sha256 or sha512 digest",
);
const platform = z.object({
  os: text,
  architecture: text,
  variant: text.optional(),
});
const descriptor = z.object({
  mediaType: text,
  digest,
  size: z.int().min(0).max(BLOB_LIMIT_BYTES),
  urls: z.array(text).max(64).optional(),
  annotations: z.record(text, text).optional(),
  platform: platform.optional(),
});
/** What says that a document is of another kind than it is read as (CVE-2021-41190). */
const never = z.undefined("must not be there").optional();

const INDEX = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.enum([MEDIA_TYPE.index, MEDIA_TYPE.dockerIndex]).optional(),
  manifests: z.array(descriptor).max(INDEX_LIMIT),
  config: never,
  layers: never,
});
const MANIFEST = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.enum([MEDIA_TYPE.manifest, MEDIA_TYPE.dockerManifest]).optional(),
  config: descriptor,
  layers: z.array(descriptor).max(LAYERS_LIMIT),
  manifests: never,
});
const CONFIG = z.object({
  architecture: text,
  os: text,
  variant: text.optional(),
  created: z.iso.datetime({ offset: true }).nullish().catch(null),
  rootfs: z.object({ type: z.literal("layers"), diff_ids: z.array(digest).max(LAYERS_LIMIT) }),
  config: z
    .object({
      User: text.nullish(),
      Env: z.array(text).nullish(),
      Entrypoint: z.array(text).nullish(),
      Cmd: z.array(text).nullish(),
      WorkingDir: text.nullish(),
      Labels: z.record(text, text).nullish(),
      Volumes: z.record(text, z.unknown()).nullish(),
      ExposedPorts: z.record(text, z.unknown()).nullish(),
    })
    .nullish(),
  history: z
    .array(
      z.object({
        created: text.nullish(),
        created_by: text.nullish(),
        comment: text.nullish(),
        empty_layer: z.boolean().nullish(),
      }),
    )
    .max(4 * LAYERS_LIMIT)
    .nullish(),
});
const ARCHIVE = z
  .array(
    z.object({
      Config: text,
      RepoTags: z.array(text).max(INDEX_LIMIT).nullish(),
      Layers: z.array(text).max(LAYERS_LIMIT),
    }),
  )
  .max(INDEX_LIMIT);
const LAYOUT = z.object({ imageLayoutVersion: z.literal("1.0.0") });

/** Reads an index. @throws {Failure} `invalid_argument`; so do the others. */
export function parseIndex(bytes: Uint8Array): IndexDocument {
  return read(INDEX, bytes, "index", MANIFEST_LIMIT_BYTES);
}

/** Reads a manifest. */
export function parseManifest(bytes: Uint8Array): ManifestDocument {
  return read(MANIFEST, bytes, "manifest", MANIFEST_LIMIT_BYTES);
}

/** Reads what is either, by what it holds: the media type may be missing. */
export function parseIndexOrManifest(
  bytes: Uint8Array,
): { readonly index: IndexDocument } | { readonly manifest: ManifestDocument } {
  const isIndex = "manifests" in parseObject(bytes, "manifest", MANIFEST_LIMIT_BYTES);
  return isIndex ? { index: parseIndex(bytes) } : { manifest: parseManifest(bytes) };
}

/** Reads an image's configuration. */
export function parseImageConfig(bytes: Uint8Array): ConfigDocument {
  return read(CONFIG, bytes, "configuration", CONFIG_LIMIT_BYTES);
}

/** Reads `manifest.json` of `docker save`. */
export function parseArchiveManifest(bytes: Uint8Array): ArchiveDocument {
  return read(ARCHIVE, bytes, "manifest.json", MANIFEST_LIMIT_BYTES);
}

/** Reads the file `oci-layout`. */
export function checkLayout(bytes: Uint8Array): void {
  read(LAYOUT, bytes, "oci-layout", 4096);
}

/** How a layer is packed. @throws {Failure} `unimplemented` for what is no layer, or lies elsewhere. */
export function packingOf({ mediaType, urls }: Descriptor): "plain" | "gzip" | "zstd" {
  const packing = Object.hasOwn(PACKING_OF_LAYER, mediaType)
    ? PACKING_OF_LAYER[mediaType]
    : undefined;
  if (packing !== undefined && (urls === undefined || urls.length === 0)) return packing;
  throw new Failure(
    "unimplemented",
    `Cannot use a layer of type ${quote(mediaType)}: only tar, plain or compressed by gzip or zstd, that lies beside its manifest can be used`,
  );
}

function read<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string, limitBytes: number): T {
  const result = schema.safeParse(parseObject(bytes, what, limitBytes));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = (issue?.path ?? []).map(String).join(".") || "it";
  throw refused(what, `${quote(where).slice(1, -1)}: ${issue?.message ?? "is wrong"}`);
}

function parseObject(bytes: Uint8Array, what: string, limitBytes: number): object {
  if (bytes.length > limitBytes) {
    throw refused(what, `it has ${bytes.length} bytes, at most ${limitBytes} are allowed`);
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof value === "object" && value !== null) return value;
  } catch (cause) {
    throw new Failure("invalid_argument", `Cannot read the image's ${what}: it is not JSON`, {
      cause,
    });
  }
  throw refused(what, "it is no object");
}

function refused(what: string, why: string): Failure {
  return new Failure("invalid_argument", `Cannot read the image's ${what}: ${why}`);
}
