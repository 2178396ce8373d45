import { enableCompileCache } from "node:module";
import { compileCacheDirectory } from "../cli/compile-cache.ts";

/**
 * Keeps what Node makes of our files (types stripped, compiled) for the next start, here and in threads started later.
 * Without it every thread loads a compiler of its own, which costs more memory than all else that it does. Whoever
 * starts us with `NODE_COMPILE_CACHE` has the same for the few files that are loaded before this can be called.
 */
export function keepCompiledCode(): void {
  if (process.env["NODE_COMPILE_CACHE"] !== undefined) return;
  const directory = compileCacheDirectory(process.env, process.getuid?.() ?? -1);
  if (directory === undefined) return;
  enableCompileCache(directory);
  // How threads come to know it.
  process.env["NODE_COMPILE_CACHE"] = directory;
}
