import assert from "node:assert/strict";
import fc from "fast-check";
import { type Digest, isDigest, parseDigest } from "../../src/core/image/digest.ts";
import { choosePlatform, formatPlatform, parsePlatform } from "../../src/core/image/platform.ts";
import { formatReference, imageNameOf, parseReference } from "../../src/core/image/reference.ts";
import { factsOf } from "../../src/host/image-facts.ts";
import {
  LAYERS_LIMIT,
  parseArchiveManifest,
  parseImageConfig,
  parseIndexOrManifest,
} from "../../src/host/image-schema.ts";
import { parseChallenge } from "../../src/host/registry-auth.ts";
import { type Property, parsed } from "./property.ts";
import { anyText, near, nearJson, objectNear } from "./texts.ts";

const SHA = `sha256:${"0123456789abcdef".repeat(4)}`;
const digest = near(SHA, `sha512:${"ab".repeat(64)}`);
const descriptor = objectNear(
  ["mediaType", "digest", "size", "urls", "annotations", "platform"],
  fc.oneof(
    near("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.index.v1+json"),
    digest,
    fc.integer(),
    objectNear(["os", "architecture", "variant"], near("linux", "arm64", "v8")),
  ),
);
/** One that is right, so that what is near to one is tried, too. */
const RIGHT = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: SHA, size: 10 };
const manifest = fc.oneof(
  fc.constant({ schemaVersion: 2, config: RIGHT, layers: [RIGHT, RIGHT] }),
  fc.constant({ schemaVersion: 2, manifests: [{ ...RIGHT, platform: { os: "linux" } }] }),
  objectNear(
    ["schemaVersion", "mediaType", "config", "layers", "manifests"],
    fc.oneof(fc.constant(2), descriptor, fc.array(descriptor, { maxLength: 3 })),
  ),
);
const config = fc.oneof(
  fc.constant({
    ...{ os: "linux", architecture: "amd64", created: "2020-01-01T00:00:00.123456789+02:00" },
    rootfs: { type: "layers", diff_ids: [SHA] },
    config: { Env: ["A=b"], Volumes: { "/data": {} }, Labels: { a: "b" } },
    history: [{ created_by: "x", empty_layer: true }],
  }),
  objectNear(
    ["architecture", "os", "variant", "created", "rootfs", "config", "history"],
    fc.oneof(
      near("linux", "arm64", "2020-01-01T00:00:00Z"),
      objectNear(["type", "diff_ids", "Env", "Volumes", "Labels"], fc.array(digest)),
    ),
  ),
);
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What holds of every document and name of images. */
export const IMAGE_PROPERTIES: Readonly<Record<string, Property>> = {
  "references of images": fc.property(
    near("app", "app:1", "localhost:5000/team/app:v1", `a.b/c@${SHA}`, "[::1]:5000/a__b", "A/b"),
    (text) => {
      const reference = parsed(() => parseReference(text));
      if (reference === undefined) return;
      assert.match(reference.repository, /^[a-z0-9][a-z0-9._/-]*$/);
      assert(reference.tag !== null || reference.digest !== null);
      // What is shown means the same, and so does the whole name.
      assert.deepEqual(parseReference(formatReference(reference)), reference);
      const name = imageNameOf(reference);
      if (name !== undefined) {
        assert.deepEqual(parseReference(name), { ...reference, digest: null });
      }
    },
  ),
  "digests of images": fc.property(digest, (text) => {
    assert.equal(parsed(() => parseDigest(text)) !== undefined, isDigest(text));
  }),
  platforms: fc.property(near("linux/arm64/v8", "amd64", "linux/arm/v7", "aarch64"), (text) => {
    const platform = parsed(() => parsePlatform(text));
    if (platform === undefined) return;
    assert.deepEqual(parsePlatform(formatPlatform(platform)), platform);
    assert.equal(
      choosePlatform(platform, [platform], (each) => each),
      platform,
    );
  }),
  "manifests and indexes": fc.property(nearJson(manifest), (text) => {
    const read = parsed(() => parseIndexOrManifest(bytesOf(text)));
    if (read === undefined) return;
    const descriptors =
      "index" in read ? read.index.manifests : [read.manifest.config, ...read.manifest.layers];
    for (const each of descriptors) assert(isDigest(each.digest) && each.size >= 0);
  }),
  "configurations of images": fc.property(nearJson(config), (text) => {
    const read = parsed(() => parseImageConfig(bytesOf(text)));
    if (read === undefined) return;
    assert(read.rootfs.diff_ids.length <= LAYERS_LIMIT);
    const facts = factsOf(read, SHA as Digest, null);
    assert(facts.createdAt === null || Number.isSafeInteger(facts.createdAt));
  }),
  "manifest.json of docker save": fc.property(
    nearJson(
      fc.array(
        objectNear(["Config", "RepoTags", "Layers"], fc.oneof(anyText, fc.array(near("a.tar")))),
        { maxLength: 2 },
      ),
    ),
    (text) => {
      parsed(() => parseArchiveManifest(bytesOf(text)));
    },
  ),
  "challenges of registries": fc.property(
    near('Bearer realm="https://auth/token",service="a",scope="repository:x:pull"', "Basic x"),
    (text) => {
      const challenge = parseChallenge(text);
      if (challenge?.scheme === "bearer") assert(URL.canParse(challenge.realm));
    },
  ),
};
