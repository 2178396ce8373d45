import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LoopEnd, makePipeMemory } from "../../src/host/shared-pipe.ts";
import type { Syscalls } from "../../src/host/syscall-message.ts";
import { SyscallThreads } from "../../src/host/syscall-threads.ts";
import { command } from "../conformance/host-machine.ts";

let directory: string;
let undo: (() => unknown)[];

beforeEach(async () => {
  undo = [];
  directory = await mkdtemp(join(tmpdir(), "syscall-threads-"));
});
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  await rm(directory, { recursive: true, force: true });
});

/** Threads that go when the test is over. */
function makeThreads(options: ConstructorParameters<typeof SyscallThreads>[0] = {}) {
  return new SyscallThreads({ idleMs: 50, keepsOne: false, ...options });
}

/** A call that ends when it is told to, and not before. */
function hang(threads: SyscallThreads): { readonly end: () => Promise<unknown> } {
  const memory = makePipeMemory();
  const pipe = new LoopEnd(memory);
  const limits = { tarBytes: null, entries: 1 };
  const ended = threads.call("applyLayer", directory, memory, limits);
  const end = (): Promise<unknown> => {
    pipe.close();
    return ended;
  };
  undo.push(end);
  return { end };
}

function makeDirectory(threads: SyscallThreads, name: string): Promise<unknown> {
  const path = join(directory, name);
  return threads.call("performSteps", [{ do: "makeDirectory", path, mode: 0o700 }]);
}

const NAMES = ["1", "2", "3", "4", "5", "6", "7"];

it("calls at once are made one after the other while the event loop is busy", async () => {
  const threads = makeThreads({ limit: 1 });
  await makeDirectory(threads, "0");
  // Each needs what the one before it has made.
  const calls = NAMES.map((name, n) =>
    threads.call("renameNoReplace", join(directory, String(n)), join(directory, name)),
  );
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; tries < 30_000 && !existsSync(join(directory, "7")); tries++) {
    Atomics.wait(clock, 0, 0, 1);
  }
  expect(readdirSync(directory)).toEqual(["7"]);
  await Promise.all(calls);
});

it("calls behind one that hangs are made by another thread, once", async () => {
  const threads = makeThreads({ idleMs: 60_000 });
  await makeDirectory(threads, "0");
  const hanging = hang(threads);
  await Promise.all(NAMES.map((name) => makeDirectory(threads, name)));
  expect((await readdir(directory)).length).toBe(1 + NAMES.length);
  expect(threads.size).toBeGreaterThan(1);
  for (const name of NAMES) await rm(join(directory, name), { recursive: true });
  await hanging.end();
  // Again by the first, after what was behind.
  await makeDirectory(threads, "last");
  expect(await readdir(directory)).toEqual(["0", "last"]);
});

it("a call that ends its thread fails, and those behind it are made by another, once", async () => {
  const threads = makeThreads();
  await makeDirectory(threads, "0");
  const ending = threads.call("no such call" as keyof Syscalls, ...([] as unknown as [never]));
  const behind = NAMES.map((name) => makeDirectory(threads, name));
  await expect(ending).rejects.toMatchObject({ code: "internal" });
  await Promise.all(behind);
  expect((await readdir(directory)).length).toBe(1 + NAMES.length);
});

/** What another process writes that has `threads` of its own, each of which does this at its start. */
async function shownBy(body: string, atStart = ""): Promise<string> {
  const module = new URL("../../src/host/syscall-threads.ts", import.meta.url).href;
  const [file, preload] = [join(directory, "script.mjs"), join(directory, "preload.mjs")];
  await writeFile(
    file,
    `const { SyscallThreads } = await import(${JSON.stringify(module)});
    const threads = new SyscallThreads();
    ${body}`,
  );
  await writeFile(
    preload,
    `import { isMainThread } from "node:worker_threads";
    if (!isMainThread) { ${atStart} }`,
  );
  return command(process.execPath, "--import", preload, file);
}

it("a call keeps its process alive, and a thread without one does not", async () => {
  const pipe = new URL("../../src/host/shared-pipe.ts", import.meta.url).href;
  const shown = await shownBy(`
    const { LoopEnd, makePipeMemory } = await import(${JSON.stringify(pipe)});
    await threads.call("statFileSystem", "/");
    const memory = makePipeMemory();
    setTimeout(() => new LoopEnd(memory).close(), 200).unref();
    await threads.call("applyLayer", ${JSON.stringify(directory)}, memory, { tarBytes: null, entries: 1 });
    console.log((await threads.call("statFileSystem", "/")).type !== "");`);
  expect(shown).toBe("true\n");
});

it("calls for a thread that is slow to start are made once", async () => {
  const shown = await shownBy(
    `
    const paths = Array.from({ length: 20 }, (_, n) => ${JSON.stringify(directory)} + "/" + n);
    const make = (path) => threads.call("performSteps", [{ do: "makeDirectory", path, mode: 0o700 }]);
    console.log((await Promise.all(paths.map(make))).length);`,
    "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);",
  );
  expect(shown).toBe("20\n");
});

it("each thread that cannot start costs a call", async () => {
  const shown = await shownBy(
    `
    const calls = Array.from({ length: 3 }, () => threads.call("statFileSystem", "/"));
    const outcomes = await Promise.allSettled(calls);
    console.log(outcomes.map(({ reason }) => reason?.code).join(" "), threads.size);`,
    "throw new Error();",
  );
  expect(shown).toBe("internal internal internal 0\n");
});

it("threads for system calls interrupt no other when they are woken, and no other thread is so", async () => {
  const shown = await shownBy(`
    const { readdirSync, readFileSync } = await import("node:fs");
    await threads.call("statFileSystem", "/");
    // proc_pid_stat(5): the third field follows the name, which may contain anything; policy is the 41st.
    const policyOf = (id) => {
      const stat = readFileSync("/proc/self/task/" + id + "/stat", "utf8");
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[41 - 3];
    };
    const policies = readdirSync("/proc/self/task").map(policyOf).sort();
    console.log(policies.slice(-2).join(" "), policyOf(process.pid));`);
  expect(shown).toBe("0 3 0\n");
});
