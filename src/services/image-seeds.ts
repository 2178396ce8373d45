import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { PoolName } from "../core/name.ts";
import type { Archive } from "../core/ports/archive.ts";
import type { Files } from "../core/ports/files.ts";
import type { Log } from "../core/ports/log.ts";
import type { Planted } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import { type Images, titleOf } from "./images.ts";
import type { Layers } from "./layers.ts";
import type { Pools } from "./pools.ts";
import type { Records } from "./records.ts";
import type { Work } from "./underway.ts";

/** Where a volume's content starts from. */
interface SeedPlace {
  /** Name or id of an image. */
  readonly image: string;
  /** Directory in it; empty: its root. */
  readonly path: string;
}

/** A directory of an image, from which a volume can be made while {@link ImageSeeds.use} works. */
export interface Seed extends Planted {
  /** Makes the volume's head of it: at once where the driver clones, else by copying. Again makes what is missing. */
  plant(volume: Volume, work: Work): Promise<void>;
}

/** What {@link ImageSeeds} works with. */
interface ImageSeedsParts {
  readonly images: Images;
  readonly layers: Layers;
  readonly pools: Pools;
  readonly records: Records;
  readonly files: Files;
  /** Undefined: nothing can be copied. */
  readonly ports: { readonly archive: Archive } | undefined;
  readonly log: Log;
}

/** Volumes that start from images. */
export class ImageSeeds {
  readonly #parts: ImageSeedsParts;
  /** Heads that have nothing beside their root any more. */
  readonly #trimmed = new Set<LayerId>();

  constructor(parts: ImageSeedsParts) {
    this.#parts = parts;
  }

  /**
   * Does `work` with a directory of an image, which stays meanwhile.
   *
   * @throws {Failure} `not_found` when there is no such image or path; `invalid_argument` when it is no directory; what
   * `work` throws.
   */
  use<T>(place: SeedPlace, work: (seed: Seed) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#parts.images.use(place.image, async (image, top) => {
      const owner = await this.#ownerOf(titleOf(image), place.path, top, signal);
      return work({
        ...{ id: image.id, owner },
        plant: (volume, underway) => this.#plant(volume, place.path, top, underway),
      });
    });
  }

  /** Removes what clones of images have beside their directory, which nobody can see. What fails is tried again. */
  async trim(signal: AbortSignal): Promise<void> {
    const { records, pools, log } = this.#parts;
    for (const { value: volume } of await records.listVolumes()) {
      const { spec, head, status, name } = volume;
      if (!spec.image?.path || status.state !== "ready" || this.#trimmed.has(head)) continue;
      try {
        await pools.get(spec.pool).trim?.(head, signal);
        this.#trimmed.add(head);
      } catch (error) {
        signal.throwIfAborted();
        log.debug("what lies beside a volume's root is not removed yet", { volume: name, error });
      }
    }
  }

  async #ownerOf(
    title: string,
    path: string,
    top: { readonly pool: PoolName; readonly layer: LayerId },
    signal: AbortSignal,
  ): Promise<Planted["owner"]> {
    const { layers, files } = this.#parts;
    return layers.withPath(
      top,
      { readOnly: true },
      async (root) => {
        let at = root;
        for (const part of path.split("/")) {
          if (part !== "") at += `/${part}`;
          const found = await files.stat(at);
          if (found?.kind !== "directory") throw noDirectory(title, at.slice(root.length), found);
          const { uid, gid, mode } = found;
          if (at.length === root.length + (path === "" ? 0 : path.length + 1)) {
            return { uid, gid, mode };
          }
        }
        throw new Failure("internal", "Internal error: a path of no end");
      },
      signal,
    );
  }

  async #plant(
    volume: Volume,
    path: string,
    top: { readonly pool: PoolName; readonly layer: LayerId },
    work: Work,
  ): Promise<void> {
    const { pools } = this.#parts;
    const { pool, sizeBytes, uid, gid, mode } = volume.spec;
    const driver = pools.get(pool);
    const owner = { uid: uid ?? 0, gid: gid ?? 0, mode: mode ?? 0o755 };
    const { rootedClones, instantClones } = driver.traits;
    if (pool === top.pool && rootedClones === true && instantClones) {
      const root = path === "" ? {} : { root: path };
      const clone = { parent: top.layer, sizeBytes, owner, ...root };
      try {
        return await driver.prepare(volume.head, clone, work.signal);
      } catch (thrown) {
        // The whole image is over the limit; the directory alone may not be.
        const isTooLarge = Failure.from(thrown).code === "failed_precondition";
        if (path === "" || sizeBytes === null || !isTooLarge) throw thrown;
      }
    }
    await driver.prepare(volume.head, { parent: null, sizeBytes, owner }, work.signal);
    await this.#copy(volume, path, top, work);
  }

  async #copy(
    { head, spec }: Volume,
    path: string,
    top: { readonly pool: PoolName; readonly layer: LayerId },
    { signal, progress }: Work,
  ): Promise<void> {
    const { layers, ports } = this.#parts;
    if (ports === undefined) {
      throw new Failure("unimplemented", "Cannot copy from an image: this node has no way to");
    }
    const target = { pool: spec.pool, layer: head };
    const copyInto = (into: string) => (root: string) => {
      const from = path === "" ? root : `${root}/${path}`;
      const tar = counted(ports.archive.pack(from, {}, signal), progress);
      return ports.archive.unpack(tar, into, { limitBytes: null, devices: true }, signal);
    };
    await layers.withPath(
      target,
      { readOnly: false },
      (into) => layers.withPath(top, { readOnly: true }, copyInto(into), signal),
      signal,
    );
  }
}

async function* counted(
  pieces: AsyncIterable<Uint8Array>,
  progress: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const piece of pieces) {
    done += piece.length;
    progress(done);
    yield piece;
  }
}

function noDirectory(
  title: string,
  path: string,
  found: { readonly kind: string } | undefined,
): Failure {
  const attempt = `Cannot start from ${path} of image ${title}`;
  if (found === undefined) return new Failure("not_found", `${attempt}: it does not exist there`);
  const why =
    found.kind === "symlink"
      ? "it is a symbolic link; give the path that it leads to"
      : "it is no directory";
  return new Failure("invalid_argument", `${attempt}: ${why}`);
}
