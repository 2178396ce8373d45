import { Failure } from "../../core/failure.ts";
import type { DriverPorts } from "./ports.ts";

/** Tries whether files in a directory can share bytes (FICLONE). Leaves nothing behind. @param directory Is there, and writable. */
export async function canCloneFiles(
  directory: string,
  { files, kernel }: DriverPorts,
): Promise<boolean> {
  const [source, target] = [`${directory}/.reflink-probe`, `${directory}/.reflink-probe-copy`];
  const clear = async (): Promise<void> => {
    await files.remove(target);
    await files.remove(source);
  };
  await clear();
  try {
    await files.createSparse(source, 4096);
    await kernel.cloneFile(source, target);
    return true;
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === "unimplemented") return false;
    throw thrown;
  } finally {
    await clear();
  }
}
