import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parseReference } from "../../src/core/image/reference.ts";
import type { ForeignImage, ImageSource } from "../../src/core/ports/image-source.ts";
import { hostImageSources } from "../../src/host/image-sources.ts";
import { archive, entry } from "../conformance/tar-by-hand.ts";
import { mustRun } from "./command.ts";
import { type HandImage, handImage, layoutTar, sha256, writeLayout } from "./oci-layout.ts";
import { LOGIN, Nuisance, Registry } from "./registry.ts";

/* The port ImageSources against what other tools write and serve: skopeo and Debian's docker-registry. */

const never = new AbortController().signal;
const big = randomBytes(700_000);
const image = handImage(
  [
    {
      packing: "plain",
      entries: [
        { name: "etc/", type: "5" },
        { name: "etc/a", content: "one" },
      ],
    },
    { packing: "gzip", entries: [{ name: "big", content: big }] },
    { packing: "zstd", entries: [{ name: "etc/b", content: "two" }] },
  ],
  "example.com/team/app:1",
);

let directory: string;
let stop: AsyncDisposableStack;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lagan-sources-"));
  stop = new AsyncDisposableStack();
});
afterEach(async () => {
  await stop.disposeAsync();
  await rm(directory, { recursive: true, force: true });
});

const sources = () => hostImageSources(join(directory, "spool"));
const options = { platform: null, received: () => undefined };
const tarOf = (bytes: Buffer) => Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]);

async function fromTar(bytes: Buffer): Promise<ImageSource> {
  return stop.adopt(await sources().fromArchive(tarOf(bytes), options, never), (one) =>
    one.close(),
  );
}

async function fromRegistry(
  name: string,
  credentials: typeof LOGIN | null = null,
): Promise<ImageSource> {
  const opened = sources().fromRegistry(parseReference(name), { ...options, credentials }, never);
  return stop.adopt(await opened, (one) => one.close());
}

async function layersOf(found: ForeignImage | undefined): Promise<readonly string[]> {
  const places = found?.diffIds.map((_, place) => place) ?? [];
  found?.want(places);
  const digests: string[] = [];
  for (const place of places) {
    const pieces: Uint8Array[] = [];
    for await (const piece of found?.layer(place, never) ?? []) pieces.push(piece);
    digests.push(sha256(Buffer.concat(pieces)));
  }
  return digests;
}

async function expectImage({ images: [found, ...more] }: ImageSource, { id, diffIds }: HandImage) {
  expect(more).toEqual([]);
  expect(found?.facts).toMatchObject({ id, os: "linux", architecture: "amd64" });
  expect(found?.facts.config).toMatchObject({ env: ["A=b"], user: "5:5", volumes: ["/data"] });
  expect(await layersOf(found)).toEqual(diffIds);
}

it("an OCI layout comes in as a tar, plain or compressed, and leaves nothing when it is closed", async () => {
  for (const bytes of [layoutTar(image), gzipSync(layoutTar(image))]) {
    const source = await fromTar(bytes);
    expect(source.images[0]?.names).toEqual(["example.com/team/app:1"]);
    expect(source.images[0]?.facts.manifest).toBe(image.manifest);
    await expectImage(source, image);
    await source.close();
  }
  expect(await readdir(join(directory, "spool"))).toEqual([]);
});

it("what skopeo writes for docker load comes in", async () => {
  // Docker's format has no zstd.
  const image = handImage([
    { packing: "plain", entries: [{ name: "a", content: "one" }] },
    { packing: "gzip", entries: [{ name: "big", content: big }] },
  ]);
  await writeLayout(image, join(directory, "layout"));
  const file = join(directory, "docker.tar");
  await mustRun([
    ...["skopeo", "copy", "--insecure-policy", `oci:${join(directory, "layout")}`],
    `docker-archive:${file}:app:2`,
  ]);
  const source = await fromTar(await readFile(file));
  expect(source.images[0]?.names).toEqual(["docker.io/library/app:2"]);
  expect(await layersOf(source.images[0])).toEqual(image.diffIds);
});

it("a layer that docker save wrote as a link to another is the other", async () => {
  const [tar = Buffer.alloc(0)] = image.tars;
  const config = JSON.stringify({
    ...{ architecture: "amd64", os: "linux" },
    rootfs: { type: "layers", diff_ids: [image.diffIds[0], image.diffIds[0]] },
  });
  const manifest = [{ Config: "c.json", RepoTags: null, Layers: ["x/layer.tar", "y/layer.tar"] }];
  const bytes = archive(
    entry({ name: "x/layer.tar", content: tar }),
    entry({ name: "y/layer.tar", type: "2", link: "../x/layer.tar" }),
    entry({ name: "c.json", content: config }),
    entry({ name: "manifest.json", content: JSON.stringify(manifest) }),
  );
  const { images } = await fromTar(bytes);
  expect(images[0]?.names).toEqual([]);
  expect(await layersOf(images[0])).toEqual([image.diffIds[0], image.diffIds[0]]);
});

it("what is cut off, damaged or missing is refused, and leaves nothing", async () => {
  const whole = layoutTar(image);
  const manifestPath = `blobs/sha256/${image.manifest.slice(7)}`;
  const layer = [...image.files].find(([, bytes]) => bytes === image.tars[0]);
  const otherLayer = Buffer.from(image.tars[0] ?? "");
  otherLayer[600] = (otherLayer[600] ?? 0) ^ 1;
  for (const [bytes, code] of [
    [whole.subarray(0, 2000), "invalid_argument"],
    [whole.subarray(0, whole.length - 1024), "invalid_argument"],
    [Buffer.from("no tar at all".repeat(100)), "invalid_argument"],
    [archive(entry({ name: "../x", content: "x" })), "invalid_argument"],
    [archive(entry({ name: "x", content: "x" })), "invalid_argument"],
    [layoutTar(image, { [manifestPath]: null }), "invalid_argument"],
    [layoutTar(image, { [manifestPath]: Buffer.alloc(image.manifest.length) }), "data_loss"],
  ] as const) {
    await expect(fromTar(bytes)).rejects.toMatchObject({ code });
  }
  const { images } = await fromTar(layoutTar(image, { [layer?.[0] ?? ""]: otherLayer }));
  await expect(layersOf(images[0])).rejects.toMatchObject({ code: "data_loss" });
  await stop.disposeAsync();
  expect(await readdir(join(directory, "spool"))).toEqual([]);
});

it("a registry's image comes in by name and by digest, and only for its platform", async () => {
  const registry = stop.use(await Registry.start(join(directory, "registry")));
  await writeLayout(image, join(directory, "layout"));
  await registry.push(join(directory, "layout"), "team/app:1");
  await expectImage(await fromRegistry(`${registry.host}/team/app:1`), image);
  await expectImage(await fromRegistry(`${registry.host}/team/app@${image.manifest}`), image);
  await expect(fromRegistry(`${registry.host}/team/app:2`)).rejects.toMatchObject({
    code: "not_found",
  });
  await expect(fromRegistry("127.0.0.1:1/team/app:1")).rejects.toMatchObject({
    code: "unavailable",
  });
});

it("a registry that asks for a login gets one, and says so when it is none or a wrong one", async () => {
  const registry = stop.use(await Registry.start(join(directory, "registry"), { login: true }));
  await writeLayout(image, join(directory, "layout"));
  await registry.push(join(directory, "layout"), "app:1", true);
  await expectImage(await fromRegistry(`${registry.host}/app:1`, LOGIN), image);
  const wrong = { ...LOGIN, password: "open" } as unknown as typeof LOGIN;
  for (const credentials of [null, wrong]) {
    await expect(fromRegistry(`${registry.host}/app:1`, credentials)).rejects.toMatchObject({
      code: "unauthenticated",
    });
  }
});

it("a token is fetched once, with the login, and the login never goes to where a blob was moved to", async () => {
  const registry = stop.use(await Registry.start(join(directory, "registry")));
  await writeLayout(image, join(directory, "layout"));
  await registry.push(join(directory, "layout"), "app:1");
  const leaked: string[] = [];
  const elsewhere = stop.use(
    await Nuisance.start(registry.host, ({ headers }) => {
      if (headers.authorization !== undefined) leaked.push(headers.authorization);
      return false;
    }),
  );
  const logins: string[] = [];
  const door = stop.use(
    await Nuisance.start(registry.host, ({ url = "", headers }, answer) => {
      if (url.startsWith("/token")) {
        logins.push(`${url} ${headers.authorization}`);
        answer.end(JSON.stringify({ token: "t0k3n" }));
      } else if (headers.authorization !== "Bearer t0k3n") {
        const realm = `http://${headers.host}/token`;
        const challenge = `Bearer realm="${realm}",service="s",scope="repository:app:pull"`;
        answer.writeHead(401, { "www-authenticate": challenge }).end();
      } else if (url.includes("/blobs/")) {
        answer.writeHead(307, { location: `http://${elsewhere.host}${url}` }).end();
      } else return false;
      return true;
    }),
  );
  await expectImage(await fromRegistry(`${door.host}/app:1`, LOGIN), image);
  const basic = `Basic ${Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64")}`;
  expect(logins).toEqual([`/token?service=s&scope=repository%3Aapp%3Apull ${basic}`]);
  expect(elsewhere.asked.length).toBeGreaterThan(3);
  expect(leaked).toEqual([]);
});

it.each([false, true])(
  "a layer that breaks off goes on where it was; a registry without ranges: %s",
  async (deaf) => {
    const registry = stop.use(await Registry.start(join(directory, "registry")));
    await writeLayout(image, join(directory, "layout"));
    await registry.push(join(directory, "layout"), "app:1");
    let cuts = 0;
    const door = stop.use(
      await Nuisance.start(registry.host, ({ url }) => {
        // Of one without ranges only some are cut, or there would be no end.
        if (deaf && url?.includes("/blobs/") && ++cuts > 6) door.cutAfterBytes = 1e9;
        return false;
      }),
    );
    door.cutAfterBytes = 300_000;
    door.deaf = deaf;
    await expectImage(await fromRegistry(`${door.host}/app:1`), image);
    expect(door.asked.some((asked) => / bytes=\d+-$/.test(asked))).toBe(true);
  },
);

it("a blob that is another than its digest says is refused", async () => {
  const registry = stop.use(await Registry.start(join(directory, "registry")));
  await writeLayout(image, join(directory, "layout"));
  await registry.push(join(directory, "layout"), "app:1");
  const size = [...image.files.values()].map((bytes) => bytes.length);
  const door = stop.use(
    await Nuisance.start(registry.host, ({ url = "" }, answer) => {
      const [, digest] = /blobs\/(sha256:[0-9a-f]+)$/.exec(url) ?? [];
      const blob = image.files.get(`blobs/sha256/${digest?.slice(7)}`);
      if (blob === undefined || digest === image.id) return false;
      answer.end(Buffer.alloc(blob.length, 7));
      return true;
    }),
  );
  expect(size.length).toBeGreaterThan(3);
  const { images } = await fromRegistry(`${door.host}/app:1`);
  await expect(layersOf(images[0])).rejects.toMatchObject({ code: "data_loss" });
});
