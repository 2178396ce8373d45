import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { archive, entry, type Header } from "../conformance/tar-by-hand.ts";

const OCI = "application/vnd.oci.image";

/** A layer of an image by hand. */
export interface HandLayer {
  readonly entries: readonly Header[];
  readonly packing: "plain" | "gzip" | "zstd";
}

/** An image's files: what an OCI layout has, by path. */
export interface HandImage {
  readonly files: ReadonlyMap<string, Buffer>;
  /** Digest of the configuration. */
  readonly id: string;
  readonly manifest: string;
  /** Digests of the plain tars. */
  readonly diffIds: readonly string[];
  readonly tars: readonly Buffer[];
}

/** Digest of bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Makes an image, with `name` (if any) as its name in the layout. */
export function handImage(layers: readonly HandLayer[], name?: string): HandImage {
  const files = new Map<string, Buffer>();
  const keep = (bytes: Buffer): { digest: string; size: number } => {
    const digest = sha256(bytes);
    files.set(`blobs/sha256/${digest.slice(7)}`, bytes);
    return { digest, size: bytes.length };
  };
  const keepJson = (value: unknown) => keep(Buffer.from(JSON.stringify(value)));
  const tars = layers.map(({ entries }) => archive(...entries));
  const diffIds = tars.map(sha256);
  const config = keepJson({
    ...{ architecture: "amd64", os: "linux", created: "2026-01-02T03:04:05Z" },
    config: { Env: ["A=b"], Cmd: ["/bin/sh"], User: "5:5", Volumes: { "/data": {} } },
    rootfs: { type: "layers", diff_ids: diffIds },
    history: layers.map((_, index) => ({ created_by: `step ${index}` })),
  });
  const packed = layers.map(({ packing }, index) => {
    const tar = tars[index] ?? Buffer.alloc(0);
    const bytes =
      packing === "gzip" ? gzipSync(tar) : packing === "zstd" ? zstdCompressSync(tar) : tar;
    const suffix = packing === "plain" ? "" : `+${packing}`;
    return { mediaType: `${OCI}.layer.v1.tar${suffix}`, ...keep(bytes) };
  });
  const manifest = keepJson({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: { mediaType: `${OCI}.config.v1+json`, ...config },
    layers: packed,
  });
  const annotations = name === undefined ? {} : { "org.opencontainers.image.ref.name": name };
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        ...{ mediaType: `${OCI}.manifest.v1+json`, ...manifest, annotations },
        platform: { os: "linux", architecture: "amd64" },
      },
    ],
  };
  files.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  files.set("index.json", Buffer.from(JSON.stringify(index)));
  return { files, id: config.digest, manifest: manifest.digest, diffIds, tars };
}

/** The layout as a tar. @param wrong Files that are others than they should be. */
export function layoutTar(
  { files }: HandImage,
  wrong: Readonly<Record<string, Buffer | null>> = {},
): Buffer {
  const parts = [...files].flatMap(([name, content]) => {
    const given = name in wrong ? wrong[name] : content;
    return given === null || given === undefined ? [] : [entry({ name, content: given })];
  });
  return archive(...parts);
}

/** The layout as a directory. */
export async function writeLayout({ files }: HandImage, directory: string): Promise<void> {
  for (const [name, content] of files) {
    await mkdir(join(directory, name, ".."), { recursive: true });
    await writeFile(join(directory, name), content);
  }
}
