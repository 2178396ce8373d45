import { Failure } from "../core/failure.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { ImageSources } from "../core/ports/image-source.ts";
import type { LayerTar } from "../core/ports/layer-tar.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { Store } from "../core/ports/store.ts";
import type { EventLog } from "./event-log.ts";
import { ImageCommits } from "./image-commits.ts";
import { ImageLayers } from "./image-layers.ts";
import { ImageRecords } from "./image-records.ts";
import { Images } from "./images.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { LayerStore } from "./layer-store.ts";
import type { Layers } from "./layers.ts";
import type { ImagePorts } from "./node.ts";
import type { Operations } from "./operations.ts";
import type { Records } from "./records.ts";

/** What images are built of. */
interface ImagesBase {
  readonly store: Store;
  readonly records: Records;
  readonly layers: Layers;
  readonly layerStore: LayerStore;
  readonly operations: Operations;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Undefined: nothing can be brought. */
  readonly ports: ImagePorts | undefined;
}

/** Images with all that they work with. */
export function buildImages(base: ImagesBase): Images {
  const { store, records, layerStore, operations, events, queue, clock, random, log } = base;
  const { sources, layerTar, hash } = base.ports ?? NONE;
  const images = new ImageRecords(store, log);
  const layers = new ImageLayers({
    ...{ records: images, layerStore, layerTar, hash, queue, clock, random, log },
  });
  const commits = new ImageCommits({ layers: base.layers, layerTar, hash });
  return new Images({
    commits,
    ...{ records, images, layers, sources, operations, events, queue, clock, log },
    usedImages: async () =>
      (await records.listVolumes()).flatMap(({ value }) => value.spec.image?.id ?? []),
  });
}

function refuse(): never {
  throw new Failure("unimplemented", "Cannot bring an image: this node has no way to");
}

const sources: ImageSources = {
  fromArchive: async () => refuse(),
  fromRegistry: async () => refuse(),
  clear: async () => undefined,
};
const layerTar: LayerTar = { apply: async () => refuse(), diff: refuse, changes: refuse };
const NONE: Omit<ImagePorts, "archive"> = {
  sources,
  layerTar,
  hash: { sha256: refuse, sha256Stream: refuse },
};
