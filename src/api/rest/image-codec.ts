import { Failure } from "../../core/failure.ts";
import type { NamedImage } from "../../core/image/image.ts";
import { shortName } from "../../core/image/reference.ts";
import type { Credentials } from "../../core/ports/image-source.ts";
import { type RemovedImage, titleOf } from "../../services/images.ts";
import type { Services } from "../../services/services.ts";
import { formatTime } from "./codec.ts";
import type { WireImage, WireRemovedImage } from "./image-resource.ts";

/** Says images, with what they share; for the images of one answer. */
export async function imageTeller(services: Services): Promise<(image: NamedImage) => WireImage> {
  const sharers = await sharersOf(services);
  const volumes = (await services.volumes.list()).map(({ value }) => value);
  return (image) => {
    const title = titleOf(image);
    const layers = image.layers.map(({ chainId, diffId, sizeBytes }) => {
      const sharedWith = (sharers.get(chainId) ?? []).filter((name) => name !== title);
      return { chainId, diffId, sizeBytes, sharedWith };
    });
    const own = layers.filter(({ sharedWith }) => sharedWith.length === 0);
    const { id, manifest, os, architecture, variant, createdAt, importedAt, pool } = image;
    return {
      ...{ id, names: image.names.map(shortName), manifest, os, architecture, variant, pool },
      createdAt: createdAt === null ? null : formatTime(createdAt),
      importedAt: formatTime(importedAt),
      sizeBytes: sum(layers),
      ownBytes: sum(own),
      volumes: volumes.filter(({ spec }) => spec.image?.id === id).map(({ name }) => name),
      layers,
      config: image.config,
      history: image.history,
    };
  };
}

/** By chain id: who has the layer. */
async function sharersOf({ images, layerStore }: Services): Promise<Map<string, string[]>> {
  const sharers = new Map<string, string[]>();
  for (const image of await images.list()) {
    for (const { chainId } of image.layers) {
      sharers.set(chainId, [...(sharers.get(chainId) ?? []), titleOf(image)]);
    }
  }
  for (const { layer, chainId } of layerStore.list("image")) {
    if (chainId === null) continue;
    const others = layerStore.holdersOf(layer).filter(({ face }) => face !== "image");
    const faces = new Set(others.map(({ face }) => face));
    if (faces.size > 0) sharers.set(chainId, [...(sharers.get(chainId) ?? []), ...faces]);
  }
  return sharers;
}

function sum(layers: readonly { readonly sizeBytes: number }[]): number {
  return layers.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

export function formatRemoved({ image, untagged, removed }: RemovedImage): WireRemovedImage {
  return { id: image.id, untagged: untagged.map(shortName), removed };
}

/**
 * A login as Docker's API has it (`X-Registry-Auth`: JSON in base64url).
 *
 * @throws {Failure} `invalid_argument`, without a word of what it holds.
 */
export function parseRegistryAuth(header: string | string[] | undefined): Credentials | null {
  if (header === undefined || header === "") return null;
  const bad = new Failure(
    "invalid_argument",
    'Cannot read X-Registry-Auth: give {"username", "password"} or {"identitytoken"} as JSON in base64url',
  );
  try {
    const given: unknown = JSON.parse(Buffer.from(String(header), "base64url").toString());
    if (typeof given !== "object" || given === null) throw bad;
    const { username, password, identitytoken: token } = given as Record<string, unknown>;
    const name = typeof username === "string" ? username : "";
    if (typeof token === "string" && token !== "") {
      return { username: name, password: "", identityToken: token };
    }
    if (typeof password === "string" && name !== "") return { username: name, password };
  } catch {
    throw bad;
  }
  throw bad;
}
