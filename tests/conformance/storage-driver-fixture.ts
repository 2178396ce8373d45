import { expect } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type {
  DriverTraits,
  LayerInfo,
  LayerMount,
  RootOwner,
  StorageDriver,
} from "../../src/core/ports/storage-driver.ts";
import type { FaultMode, Faults } from "./faults.ts";
import type { TreeFeature } from "./tree-sample.ts";

/** What a writer gets. */
export type WriteOutcome = "written" | "EDQUOT" | "ENOSPC" | "EROFS";

/** One pool's storage, and the ways of a container to what is in it. `mount` is what `mounts` answers. */
export interface DriverFixture {
  /** A new driver object over the storage, as a restarted daemon makes it; not open. Its ports go wrong as told. */
  driver(faults?: Faults): StorageDriver;
  /** Writes a file whole, as an application does that never syncs. */
  write(mount: LayerMount, path: string, bytes: Uint8Array): Promise<WriteOutcome>;
  read(mount: LayerMount, path: string): Promise<Uint8Array | undefined>;
  /** What was written so far is on the disk, as it is anyway after a while. */
  sync(mount: LayerMount): Promise<void>;
  unlink(mount: LayerMount, path: string): Promise<void>;
  /** Makes a directory with this mode. Only where a driver has `rootedClones`. */
  makeDirectory?(mount: LayerMount, path: string, mode: number): Promise<void>;
  /** The root of a layer as `stat` and `ls -A` see it. */
  root(mount: LayerMount): Promise<RootOwner & { readonly names: readonly string[] }>;
  /** The path at which the layer's root can be reached while `work` runs: mounted there, unless a bind does. */
  reach<T>(mount: LayerMount, work: (path: string) => Promise<T>): Promise<T>;
  /** Names of what unfinished calls left in the storage. */
  leftovers(): Promise<readonly string[]>;
  /** Takes the storage away under a driver that is open. */
  fault(): Promise<void>;
  /** Puts back what {@link fault} took. */
  mend(): Promise<void>;
  /** The storage is what a power cut at this instant leaves; every driver object is dead. */
  powerCut?(): Promise<void>;
  dispose(): Promise<void>;
}

/** How the suite gets at a driver. */
export interface DriverHarness {
  readonly traits: DriverTraits;
  /** Layers lie on a file system of the kernel that runs: what a tree can hold is tried too. */
  readonly onDisk?: true;
  /** A layer made from another shares its bytes, and `usage` tells. */
  readonly sharesBytes?: true;
  /** What trees on this storage cannot hold → why. */
  readonly contentLacks?: Readonly<Partial<Record<TreeFeature, string>>>;
  /** Fresh, empty storage that has never been opened. */
  readonly fresh: () => Promise<DriverFixture>;
  /** How calls of ports go wrong in this run; all ways unless told. On real disks that takes long. */
  readonly faultModes?: readonly FaultMode[];
  /** Test title → why this driver cannot meet it, and what tests it instead. An unknown title fails the suite. */
  readonly exempt?: Readonly<Record<string, string>>;
}

/** A signal that never aborts. */
export const LIVE: AbortSignal = new AbortController().signal;
/** The owner of a root that nobody asked anything special for. */
export const ROOT_OWNER: RootOwner = { uid: 0, gid: 0, mode: 0o755 };
/** 4 MiB: a limit small enough to fill fast. */
export const LIMIT_BYTES: number = 4 * 1024 ** 2;

/** Layers of the suite; their order is that of their ids. */
export const [A, B, C, D, E] = [1, 2, 3, 4, 5].map((n) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${n}`),
) as [LayerId, LayerId, LayerId, LayerId, LayerId];

/** The suite's short form of a `prepare`. */
export function prepare(
  driver: StorageDriver,
  layer: LayerId,
  options: {
    readonly parent?: LayerId;
    readonly sizeBytes?: number;
    readonly owner?: RootOwner;
    readonly recorded?: Promise<void>;
  } = {},
): Promise<void> {
  const { parent = null, sizeBytes = null, owner = ROOT_OWNER, recorded } = options;
  return driver.prepare(layer, { parent, sizeBytes, owner, recorded }, LIVE);
}

/** A record that is written when `record` is called. */
export function laterRecord(): { readonly recorded: Promise<void>; readonly record: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { recorded: promise, record: resolve };
}

/** A record that cannot be written. */
export function failedRecord(): Promise<void> {
  const failed = Promise.reject(new Failure("unavailable", "not on record"));
  failed.catch(() => undefined);
  return failed;
}

/** How a container gets at a layer. */
export async function mountOf(
  driver: StorageDriver,
  layer: LayerId,
  options: { readonly readOnly: boolean } = { readOnly: false },
): Promise<LayerMount> {
  const [mount, ...more] = await driver.mounts(layer, options, LIVE);
  expect(more).toEqual([]);
  if (mount === undefined) throw new Error(`Layer ${layer} has no mount`);
  return mount;
}

/** Writes `text` into a layer's file. */
export async function put(
  fixture: DriverFixture,
  driver: StorageDriver,
  layer: LayerId,
  path: string,
  text: string,
): Promise<void> {
  const mount = await mountOf(driver, layer);
  expect(await fixture.write(mount, path, new TextEncoder().encode(text))).toBe("written");
}

/** What a layer's file says; undefined: absent. */
export async function textOf(
  fixture: DriverFixture,
  driver: StorageDriver,
  layer: LayerId,
  path: string,
): Promise<string | undefined> {
  return textIn(fixture, await mountOf(driver, layer), path);
}

/** What a file says in what is mounted so; undefined: absent. */
export async function textIn(
  fixture: DriverFixture,
  mount: LayerMount,
  path: string,
): Promise<string | undefined> {
  const bytes = await fixture.read(mount, path);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** Fills a layer with files of 256 KiB until a writer is stopped; answers what stopped it and how much was written. */
export async function fill(
  fixture: DriverFixture,
  mount: LayerMount,
  ceilingBytes: number,
): Promise<{ readonly outcome: WriteOutcome; readonly bytes: number }> {
  const chunk = new Uint8Array(256 * 1024).fill(7);
  let bytes = 0;
  for (let index = 0; bytes <= ceilingBytes; index++) {
    const outcome = await fixture.write(mount, `fill-${index}`, chunk.slice());
    if (outcome !== "written") return { outcome, bytes };
    bytes += chunk.byteLength;
  }
  return { outcome: "written", bytes };
}

/** A layer as `list` tells it. */
export function info(
  id: LayerId,
  kind: LayerInfo["kind"],
  rest: { readonly parent?: LayerId; readonly sizeBytes?: number } = {},
): LayerInfo {
  return { id, kind, parent: rest.parent ?? null, sizeBytes: rest.sizeBytes ?? null };
}

/** Waits until something holds that follows its cause late, as a file system's books do. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  await expect.poll(holds, { timeout: 40_000, interval: 50 }).toBe(true);
}
