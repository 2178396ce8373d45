import { fileURLToPath } from "node:url";
import { invariant } from "../core/failure.ts";

/** Becomes the daemon: the same process, so that whoever started it can stop it. */
export function becomeDaemon(args: readonly string[]): void {
  const entry = fileURLToPath(new URL("../bin/lagand.ts", import.meta.url));
  const argv = [process.execPath, entry, ...args];
  invariant(process.execve !== undefined, "Node can replace its process on Linux");
  process.execve(process.execPath, argv, process.env);
}
