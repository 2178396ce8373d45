import { Failure } from "../core/failure.ts";
import type { Digest } from "../core/image/digest.ts";
import type { ImageFacts } from "../core/image/image.ts";
import { formatPlatform, normalPlatform, type Platform } from "../core/image/platform.ts";
import { type ConfigDocument, type Descriptor, packingOf } from "./image-schema.ts";

/** What an image says of itself. @param manifest Digest of its manifest, when it has one. */
export function factsOf(config: ConfigDocument, id: Digest, manifest: Digest | null): ImageFacts {
  const { created, config: run, history } = config;
  const createdAt = created === null || created === undefined ? Number.NaN : Date.parse(created);
  return {
    ...{ id, manifest },
    ...normalPlatform(platformOf(config)),
    createdAt: Number.isNaN(createdAt) ? null : createdAt,
    config: {
      user: run?.User ?? "",
      env: run?.Env ?? [],
      entrypoint: run?.Entrypoint ?? [],
      cmd: run?.Cmd ?? [],
      workingDir: run?.WorkingDir ?? "",
      labels: run?.Labels ?? {},
      volumes: Object.keys(run?.Volumes ?? {}).sort(),
      ports: Object.keys(run?.ExposedPorts ?? {}).sort(),
    },
    history: (history ?? []).map((step) => ({
      created: step.created ?? "",
      createdBy: step.created_by ?? "",
      comment: step.comment ?? "",
      empty: step.empty_layer ?? false,
    })),
  };
}

/** The platform of an image. */
export function platformOf({
  os,
  architecture,
  variant,
}: Pick<ConfigDocument, "os" | "architecture" | "variant">): Platform {
  return { os, architecture, variant: variant ?? null };
}

/** This machine's, in the words of images. */
export function hostPlatform(): Platform {
  return normalPlatform({ os: process.platform, architecture: process.arch, variant: null });
}

/** True for entries of an index that are no images: attestations, and artifacts without a platform of their own. */
export function isAttestation({ platform, annotations }: Descriptor): boolean {
  return platform?.os === "unknown" || annotations?.["vnd.docker.reference.type"] !== undefined;
}

/** @throws {Failure} when a manifest and its configuration do not fit, or a layer is of a kind that cannot be used. */
export function checkLayers(config: ConfigDocument, layers: readonly Descriptor[]): void {
  for (const layer of layers) packingOf(layer);
  ensureAsMany(config, layers.length);
}

/** @throws {Failure} `invalid_argument` when the configuration tells of another number of layers. */
export function ensureAsMany({ rootfs }: ConfigDocument, layers: number): void {
  if (rootfs.diff_ids.length === layers) return;
  throw new Failure(
    "invalid_argument",
    `Cannot read the image: its manifest has ${layers} layers, its configuration ${rootfs.diff_ids.length}`,
  );
}

/** For an image that is not there for the platform that was asked for. */
export function noPlatform(wanted: Platform, offered: readonly (Platform | null)[]): Failure {
  const names = offered.flatMap((platform) => (platform === null ? [] : formatPlatform(platform)));
  const there = names.length === 0 ? "none that is told" : names.slice(0, 20).join(", ");
  return new Failure(
    "not_found",
    `Cannot find the image for ${formatPlatform(wanted)}: there is ${there}; choose one with --platform`,
  );
}
