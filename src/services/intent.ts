import type { Snapshot } from "../core/history/snapshot.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";
import { DEFAULT_MODE } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { Work } from "./underway.ts";

/*
 * A layer is made beside the writing of the record that says so, as far as a crash leaves nothing of it: both wait for
 * the disk, and so wait together (`MakeHow.recorded`).
 */

/** What `recorded` gives. When the intent cannot be written, this rejects after what was `made` beside it is gone. */
export async function writtenIntent<T>(recorded: Promise<T>, made: Promise<unknown>): Promise<T> {
  const ended = made.catch(() => undefined);
  try {
    return await recorded;
  } catch (thrown) {
    await ended;
    throw thrown;
  }
}

/** Makes the layer of a volume, from a snapshot or empty. Can be done again. */
export async function prepareVolume(
  driver: StorageDriver,
  { head, spec }: Volume,
  origin: Snapshot | null,
  { signal, progress, expect }: Work,
  recorded?: Promise<unknown>,
): Promise<void> {
  const { sizeBytes, uid, gid, mode, block } = spec;
  const owner = { uid: uid ?? 0, gid: gid ?? 0, mode: mode ?? DEFAULT_MODE };
  const parent = origin?.layer ?? null;
  if (parent !== null) expect(driver, parent);
  const layer = { parent, sizeBytes, owner, block, progress, recorded };
  await driver.prepare(head, layer, signal);
}
