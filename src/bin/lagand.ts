import { keepCompiledCode } from "./code-cache.ts";

/** Threads for calls on files. */
const FILE_THREADS = 16;

// A file call on a dead disk occupies a thread of libuv's pool for good; with the usual four, four such calls would
// stop every other pool's as well. Read when the first call is made, which is later than this.
process.env["UV_THREADPOOL_SIZE"] ??= String(FILE_THREADS);
// Before anything else is loaded.
keepCompiledCode();
await import("./daemon.ts");
