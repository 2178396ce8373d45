import { enableCompileCache } from "node:module";
import { compileCacheDirectory } from "../cli/compile-cache.ts";

// Half of the time that a short command takes is compiling it. The rest is imported after this, so that it is cached.
const directory = compileCacheDirectory(process.env, process.getuid?.() ?? -1);
if (directory !== undefined) enableCompileCache(directory);
const { main } = await import("../cli/main.ts");
await main(process.argv.slice(2));
