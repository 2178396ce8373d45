import assert from "node:assert/strict";
import fc from "fast-check";
import { it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { readImageTar } from "../../src/host/image-tar.ts";
import { archive, entry } from "../conformance/tar-by-hand.ts";
import { IMAGE_PROPERTIES } from "./images.ts";

/* What comes from strangers is tried more than the other parsers: 100,000 cases in all. */

const RUNS = Math.ceil(100_000 / Object.keys(IMAGE_PROPERTIES).length);

it.each(Object.keys(IMAGE_PROPERTIES))("%s", (name) => {
  const property = IMAGE_PROPERTIES[name];
  if (property !== undefined) fc.assert(property as fc.IProperty<unknown>, { numRuns: RUNS });
});

const WHOLE = archive(
  entry({ name: "oci-layout", content: "{}", pax: { path: "blobs/sha256/long", mtime: "1.5" } }),
  entry({ name: "x/layer.tar", type: "2", link: "../y" }),
  entry({ name: "index.json", content: "x".repeat(700) }),
);
const wound = fc.record({ at: fc.nat(WHOLE.length - 1), byte: fc.nat(255) });

it("a tar of an image that is wounded, cut or cut into pieces is read or refused, and ends", async () => {
  const property = fc.asyncProperty(
    fc.array(wound, { maxLength: 4 }),
    fc.option(fc.nat(WHOLE.length)),
    fc.integer({ min: 1, max: 900 }),
    async (wounds, cut, pieceBytes) => {
      const tar = Buffer.from(WHOLE.subarray(0, cut ?? WHOLE.length));
      for (const { at, byte } of wounds) if (at < tar.length) tar[at] = byte;
      try {
        for await (const { path, content } of readImageTar(piecesOf(tar, pieceBytes))) {
          assert(!path.split("/").includes(".."));
          for await (const piece of content) assert(piece.length > 0);
        }
      } catch (thrown) {
        assert(thrown instanceof Failure, String(thrown));
        assert.equal(thrown.code, "invalid_argument");
      }
    },
  );
  await fc.assert(property, { numRuns: 3000 });
});

async function* piecesOf(bytes: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    yield bytes.subarray(at, at + pieceBytes);
  }
}
