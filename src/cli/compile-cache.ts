import { lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/**
 * A directory for compiled code that nobody but this user can write to: what lies in it is run. Root's is never
 * under a home directory, which `sudo` may leave at another user's. Undefined: there is none, and starting takes longer.
 */
export function compileCacheDirectory(
  environment: NodeJS.ProcessEnv,
  uid: number,
): string | undefined {
  // Whoever says for Node itself where, or that nothing is to be kept, has said it for us.
  if (environment["NODE_COMPILE_CACHE"] || environment["NODE_DISABLE_COMPILE_CACHE"])
    return undefined;
  const base = uid === 0 ? "/var/cache" : userCache(environment);
  if (base === undefined) return undefined;
  const directory = join(base, "lagan");
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const found = lstatSync(directory);
    return found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0
      ? directory
      : undefined;
  } catch {
    // A read-only or full disk: the command works all the same.
    return undefined;
  }
}

function userCache({ XDG_CACHE_HOME: cache, HOME: home }: NodeJS.ProcessEnv): string | undefined {
  if (cache?.startsWith("/")) return cache;
  return home?.startsWith("/") ? join(home, ".cache") : undefined;
}
