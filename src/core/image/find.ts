import { Failure } from "../failure.ts";
import { quote } from "../name.ts";
import { hexOf, shortDigest } from "./digest.ts";
import type { NamedImage } from "./image.ts";
import { type ImageName, imageNameOf, parseReference } from "./reference.ts";

/** Fewest digits of an id that are looked up. */
const ID_DIGITS_MIN = 4;

/** An image, and the name by which it was found; undefined: by its id or digest. */
export interface FoundImage {
  readonly image: NamedImage;
  readonly name: ImageName | undefined;
}

/**
 * The one of `images` that `text` means: by name, by id or its beginning, or by the digest of its manifest.
 *
 * @throws {Failure} `not_found`; `invalid_argument` when the beginning of an id fits several, or for what is none of these.
 */
export function findImage(text: string, images: readonly NamedImage[]): FoundImage {
  const digits = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(text)?.[1];
  const named = /^sha256:|^[0-9a-f]{64}$/.test(text) ? undefined : byName(text, images);
  if (named !== undefined) return named;
  const fitting =
    digits === undefined || digits.length < ID_DIGITS_MIN
      ? []
      : images.filter(({ id, manifest }) => {
          return hexOf(id).startsWith(digits) || manifest === `sha256:${digits}`;
        });
  const [only, ...others] = fitting;
  if (only === undefined) {
    throw new Failure(
      "not_found",
      `Cannot find image ${quote(text)}: it is not here; to bring it: lagan image import NAME`,
    );
  }
  if (others.length === 0) return { image: only, name: undefined };
  const ids = fitting.map(({ id }) => shortDigest(id)).join(", ");
  throw new Failure("invalid_argument", `Cannot tell which image ${quote(text)} means: ${ids}`);
}

function byName(text: string, images: readonly NamedImage[]): FoundImage | undefined {
  const reference = parseReference(text);
  const { digest } = reference;
  if (digest !== null) {
    const image = images.find(({ manifest, id }) => manifest === digest || id === digest);
    return image && { image, name: undefined };
  }
  const name = imageNameOf(reference);
  const image = images.find(({ names }) => name !== undefined && names.includes(name));
  return image && { image, name };
}
