import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Runs `work` while another process exchanges the names `a` and `b` without a pause. */
export async function whileSwapping<T>(a: string, b: string, work: () => Promise<T>): Promise<T> {
  const script = fileURLToPath(new URL("./swapper.ts", import.meta.url));
  const swapper = spawn(process.execPath, [script, a, b], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(swapper, "exit");
  try {
    await once(swapper.stdout, "data");
    return await work();
  } finally {
    swapper.kill("SIGKILL");
    await exited;
  }
}
