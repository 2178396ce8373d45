import { Failure } from "../../core/failure.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { writableMount } from "./mount-options.ts";

/** Longest path of a pool, in bytes: the kernel takes paths of layers of up to 255 in deep chains. */
const PATH_LIMIT = 200;
const DIRECTORY = { mode: 0o700 };

/**
 * Tries whether an overlay on this file system does all that layers need: a directory of a lower layer is renamed, which takes
 * trusted attributes and whiteouts. What was left by a try that died is cleared away.
 *
 * @param pool Is there.
 * @throws {Failure} `failed_precondition` when it cannot be the home of layers.
 */
export async function ensureTakesOverlay(
  pool: string,
  { files, kernel }: DriverPorts,
  signal: AbortSignal,
): Promise<void> {
  ensurePath(pool);
  const at = `${pool}/probe`;
  const target = `${at}/mnt`;
  const clear = async (): Promise<void> => {
    const table = await kernel.mountTable();
    for (const { mountPoint } of table) {
      if (mountPoint === target) await kernel.unmount(target);
    }
    await files.removeTree(at, new AbortController().signal);
  };
  await clear();
  try {
    for (const path of [at, target, `${at}/lower`, `${at}/lower/old`, `${at}/d`, `${at}/w`]) {
      await files.makeDirectory(path, DIRECTORY);
    }
    signal.throwIfAborted();
    const upper = { content: `${at}/d`, work: `${at}/w` };
    try {
      await kernel.mount({ ...writableMount(upper, [`${at}/lower`]), target });
      await files.rename(`${target}/old`, `${target}/new`);
    } catch (thrown) {
      throw await refusal(pool, thrown, kernel);
    }
    if ((await files.list(target)).join() === "new") return;
    throw await refusal(pool, new Failure("unknown", "a renamed directory is still there"), kernel);
  } finally {
    await clear();
  }
}

async function refusal(
  pool: string,
  thrown: unknown,
  kernel: DriverPorts["kernel"],
): Promise<Failure> {
  const { type } = await kernel.statFileSystem(pool);
  return new Failure(
    "failed_precondition",
    `Cannot keep layers in ${pool}: an overlay on its file system (${type}) does not work: ${Failure.from(thrown).message}; use a directory on ext4, XFS or btrfs, or another driver`,
    { cause: thrown },
  );
}

function ensurePath(pool: string): void {
  if (!/[\s,:\\"]/.test(pool) && pool.length <= PATH_LIMIT) return;
  throw new Failure(
    "failed_precondition",
    `Cannot keep layers in ${pool}: their paths are mount options, so that the path must be no longer than ${PATH_LIMIT} characters, without blanks, commas, colons, quotes and backslashes`,
  );
}
