import { execFile } from "node:child_process";
import { chmod, link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { restApp } from "../../src/api/rest/server.ts";
import { authorOf } from "../../src/cli/author.ts";
import { compileCacheDirectory } from "../../src/cli/compile-cache.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import type { Volume } from "../../src/core/volume/volume.ts";
import { hostArchive } from "../../src/host/archive.ts";
import { hostCallerFiles } from "../../src/host/caller-files.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { putVolume } from "../../src/services/records.ts";
import { type MemoryNode, memoryNode } from "./rest-node.ts";

const LAGAN = join(import.meta.dirname, "../../src/bin/lagan.ts");
const signal = new AbortController().signal;

let compiled: string;
let directory: string;
let socket: string;
let memory: MemoryNode;
let app: FastifyInstance;

beforeAll(async () => {
  compiled = await mkdtemp(join(tmpdir(), "lagan-cli-compiled-"));
});

afterAll(() => rm(compiled, { recursive: true, force: true }));

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lagan-cli-"));
  socket = join(directory, "lagan.sock");
  memory = await memoryNode();
  await serve();
});

async function serve(): Promise<void> {
  app = restApp({
    archive: hostArchive,
    callerFiles: hostCallerFiles,
    treeDiff: hostTreeDiff,
    services: memory.node.services,
    version: "9.9.9",
    log: memory.log,
    signal,
  });
  await app.listen({ path: socket });
}

afterEach(async () => {
  await app.close();
  await rm(directory, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  file: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<Outcome> {
  return new Promise((resolve) => {
    // What is compiled goes when the tests are over: nothing is left behind.
    const env = { PATH: process.env["PATH"], NODE_COMPILE_CACHE: compiled, ...environment };
    execFile(file, args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}

/** The command as its own process, on this test's daemon. */
function lagan(...args: readonly string[]): Promise<Outcome> {
  return run(process.execPath, [LAGAN, ...args], { LAGAN_HOST: `unix://${socket}` });
}

/** {@link lagan} that must succeed and say nothing on standard error: its lines. */
async function lines(...args: readonly string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await lagan(...args);
  expect({ code, stderr }, args.join(" ")).toEqual({ code: 0, stderr: "" });
  return stdout.split("\n").slice(0, -1);
}

async function fill(name: string, sizeBytes: number): Promise<void> {
  const { value } = await memory.node.services.volumes.get(parseVolumeName(name));
  const { head, spec } = value;
  memory.storages.get(spec.pool)?.write(`/memory/${head}`, "file", new Uint8Array(sizeBytes));
}

describe("volume", () => {
  it("create takes flags and Docker's options, and prints the name", async () => {
    const flags = [
      "--size",
      "10G",
      "--uid",
      "7",
      "--mode",
      "0700",
      "--label",
      "team=shop",
      "--protect",
    ];
    expect(await lines("volume", "create", "data", ...flags)).toEqual(["data"]);
    expect(
      await lines("volume", "create", "bulky", "-o", "pool=bulk", "-o", "label.a=b=c"),
    ).toEqual(["bulky"]);
    const shown = JSON.parse((await lagan("volume", "inspect", "--json", "data", "bulky")).stdout);
    expect(shown).toMatchObject([
      {
        sizeBytes: 10 * 1024 ** 3,
        options: { uid: 7, mode: "0700" },
        labels: { team: "shop" },
        protected: true,
      },
      { pool: "bulk", labels: { a: "b=c" } },
    ]);
  });

  it("ls shows a table, names, JSON or a template", async () => {
    await lines("volume", "create", "data", "--size", "1G", "--label", "a=b");
    await lines("volume", "create", "other", "--pool", "bulk", "--protect");
    const [head, first, second, ...more] = await lines("volume", "ls");
    expect(head).toMatch(/^NAME +POOL +LIMIT +USED +MOUNTS +STATUS +CREATED$/);
    expect(first).toMatch(
      /^data +default +1 GiB +- +0 +ok +in \d+ \w+$|^data +default +1 GiB +- +0 +ok +\d+ \w+ ago$/,
    );
    expect(second).toMatch(/^other +bulk +none +- +0 +ok, protected +/);
    expect(more).toEqual([]);
    expect(await lines("volume", "ls", "-q")).toEqual(["data", "other"]);
    expect(await lines("volume", "ls", "-q", "--label", "a=b")).toEqual(["data"]);
    expect(await lines("volume", "ls", "-q", "--pool", "bulk")).toEqual(["other"]);
    const json = JSON.parse((await lagan("volume", "ls", "--json")).stdout);
    expect(json.map(({ name }: { name: string }) => name)).toEqual(["data", "other"]);
    expect(await lines("volume", "ls", "--format", "{{.Name}}={{.Size}}")).toEqual([
      ...["data=1 GiB", "other=none"],
    ]);
    expect(await lines("volume", "ls", "--format", "table {{.Name}}\\t{{.Pool}}")).toEqual([
      ...["NAME    POOL", "data    default", "other   bulk"],
    ]);
  });

  it("ls lists more than one page", async () => {
    const { volumes } = memory.node.services;
    for (let index = 0; index < 620; index++) {
      await volumes.create(parseVolumeName(`v${index}`), { labels: {} }, signal);
    }
    expect(await lines("volume", "ls", "--quiet")).toHaveLength(620);
  });

  it("inspect shows what people ask for", async () => {
    await lines("volume", "create", "data", "--size", "100M", "--label", "a=b");
    const text = (await lines("volume", "inspect", "data")).join("\n");
    expect(text).toMatch(/^Name +data$/m);
    expect(text).toMatch(/^Limit +100 MiB \(104857600 bytes\)$/m);
    expect(text).toMatch(/^Used +not measured yet; to measure: lagan volume du data$/m);
    expect(text).toMatch(/^Labels +a=b$/m);
    expect(await lines("volume", "inspect", "data", "--format", "{{.Protected}}")).toEqual([
      "false",
    ]);
  });

  it("rm reports each, ends with the code of the first failure, and says how to undo", async () => {
    await lines("volume", "create", "data");
    await lines("volume", "create", "kept", "--protect");
    const { code, stdout, stderr } = await lagan("volume", "rm", "nobody", "data", "kept");
    expect(code).toBe(15);
    expect(stdout).toBe(
      "data: in the trash (expires in 24 hours); to get it back: lagan trash restore data\n".replace(
        /expires [^)]*/,
        /expires [^)]*/.exec(stdout)?.[0] ?? "",
      ),
    );
    expect(stderr.split("\n")).toEqual([
      'lagan: Cannot find volume "nobody": it does not exist',
      `lagan: Cannot remove volume "kept": it is protected, by ${authorOf()} at 2026-01-01 00:00 UTC; first: lagan volume set kept --protect=false`,
      "",
    ]);
    expect(await lines("volume", "ls", "-q")).toEqual(["kept"]);
  });

  it("set changes labels and protection as messages say it", async () => {
    await lines("volume", "create", "data", "--label", "a=1", "--label", "b=2");
    await lines("volume", "set", "--protect", "data", "--label", "c=3", "--unlabel", "a");
    const shown = async () =>
      JSON.parse((await lagan("volume", "inspect", "--json", "data")).stdout)[0];
    expect(await shown()).toMatchObject({ protected: true, labels: { b: "2", c: "3" } });
    await lines("volume", "set", "data", "--protect=false");
    expect(await shown()).toMatchObject({ protected: false, labels: { b: "2", c: "3" } });
  });

  it("rename gives another name", async () => {
    await lines("volume", "create", "data");
    expect(await lines("volume", "rename", "data", "other")).toEqual(["other"]);
    expect(await lines("volume", "ls", "-q")).toEqual(["other"]);
  });

  it("du measures, with the trash and totals", async () => {
    for (const name of ["data", "gone"]) await lines("volume", "create", name, "--size", "1G");
    await fill("data", 3 * 1024 ** 2);
    await fill("gone", 1024 ** 2);
    await lines("volume", "rm", "gone");
    expect(await lines("volume", "du")).toEqual([
      "NAME   LIMIT   USED    OWN     SHARED   WOULD FREE   WHERE",
      "data   1 GiB   3 MiB   3 MiB   0 B      3 MiB",
      "gone   1 GiB   1 MiB   1 MiB   0 B      1 MiB        trash",
      "",
      "1 volume holds 3 MiB; 1 in the trash, emptying it would free 1 MiB",
    ]);
    expect(JSON.parse((await lagan("volume", "du", "--json", "data")).stdout)).toMatchObject([
      { name: "data", usedBytes: 3 * 1024 ** 2, wouldFreeBytes: 3 * 1024 ** 2, trashed: false },
    ]);
    expect((await lines("volume", "ls"))[1]).toContain("3 MiB");
  });

  it("du shows snapshots under their volume, with what each alone holds", async () => {
    await lines("volume", "create", "data");
    await fill("data", 1024 ** 2);
    const [taken = ""] = await lines("snapshot", "create", "data");
    await fill("data", 2 * 1024 ** 2);
    await lines("snapshot", "create", "data", "--name", "before");
    const du = await lines("volume", "du");
    expect(du.filter((line) => line.startsWith("  data@before "))).toHaveLength(1);
    await lines("snapshot", "rm", "data@before");
    await lines("trash", "empty", "-f");
    expect(await lines("volume", "du")).toEqual([
      `NAME${" ".repeat(18)}LIMIT   USED    OWN     SHARED   WOULD FREE   WHERE`,
      `data${" ".repeat(18)}none    2 MiB   2 MiB   0 B      3 MiB`,
      `  ${taken}           1 MiB   1 MiB   0 B      1 MiB`,
      "",
      "1 volume holds 2 MiB; 1 snapshot alone: 1 MiB",
    ]);
  });

  it("profiles are shown with sizes as people read them", async () => {
    await lines("profile", "create", "db", "--size", "10G", "--every", "15m");
    expect((await lines("profile", "ls"))[1]).toMatch(/^db +10 GiB +15m/);
    expect((await lines("profile", "inspect", "db")).join("\n")).toMatch(/^size +10 GiB$/m);
  });

  it("inspect shows where a schedule stands, and what would be lost", async () => {
    await lines("volume", "create", "data", "--every", "15m");
    const before = (await lines("volume", "inspect", "data")).join("\n");
    expect(before).toMatch(/^ {2}would be lost now +everything: there is no snapshot$/m);
    await memory.node.services.schedules.tick(signal);
    const after = (await lines("volume", "inspect", "data")).join("\n");
    expect(after).toMatch(/^Schedule +every 15m, keep last=4/m);
    expect(after).toMatch(/^ {2}last, next .* 1 kept$/m);
    expect(after).toMatch(/^ {2}would be lost now +what was written in the last /m);
  });

  it("du of a sick pool measures the others", async () => {
    await lines("volume", "create", "data");
    await lines("volume", "create", "sick", "--pool", "bulk");
    const bulk = memory.storages.get("bulk");
    if (bulk !== undefined) bulk.fault = "its disk is gone";
    await memory.node.services.pools.refresh(signal);
    const { code, stdout, stderr } = await lagan("volume", "du");
    expect(code).toBe(24);
    expect(stdout).toMatch(/^data +none +0 B +0 B +0 B +0 B$/m);
    expect(stdout).toMatch(/^sick +none +- +- +- +-$/m);
    expect(stderr).toContain("its disk is gone");
  });

  it("prune removes what nobody uses, and only after yes", async () => {
    for (const name of ["used", "idle"]) await lines("volume", "create", name);
    await lines("volume", "create", "kept", "--protect");
    const { volumes, mounts } = memory.node.services;
    await mounts.mount((await volumes.get(parseVolumeName("used"))).value, "id", signal);
    const dry = await lines("volume", "prune", "--dry-run");
    expect(dry[0]).toBe("Would go into the trash (1 unused but protected):");
    expect(dry.slice(2).join("\n")).toMatch(/^idle [^\n]*$/);
    const unasked = await lagan("volume", "prune");
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining("give --force") });
    const no = await interactive("n\n", "volume", "prune");
    expect(no.stdout).toContain("Put 1 into the trash? [y/N]");
    expect(await lines("volume", "ls", "-q")).toEqual(["idle", "kept", "used"]);
    const yes = await interactive("y\n", "volume", "prune");
    expect(yes.stdout).toContain("to get it back: lagan trash restore idle");
    expect(await lines("volume", "ls", "-q")).toEqual(["kept", "used"]);
    expect((await lines("volume", "prune", "--force"))[0]).toMatch(/^Nothing to remove/);
  });
});

/** {@link lagan} on a terminal of 80 columns at which somebody types. */
function interactive(typed: string, ...args: readonly string[]): Promise<Outcome> {
  const command = [process.execPath, LAGAN, ...args].map((word) => `'${word}'`).join(" ");
  const script = `printf '${typed.trim()}\\n' | script -qefc "stty cols 80; ${command}" /dev/null`;
  return run("/bin/sh", ["-c", script], { LAGAN_HOST: `unix://${socket}`, TERM: "xterm" });
}

describe("trash", () => {
  it("ls, restore, rm and empty", async () => {
    for (const name of ["aa", "bb", "cc"]) await lines("volume", "create", name);
    await lines("volume", "rm", "aa", "bb", "cc");
    const [head, ...rows] = await lines("trash", "ls");
    expect(head).toMatch(/^KIND +ID +NAME +USED +REMOVED +EXPIRES$/);
    expect(rows).toHaveLength(3);
    const ids = await lines("trash", "ls", "-q");
    expect(ids).toHaveLength(3);
    expect(await lines("trash", "restore", "aa", "--name", "back")).toEqual(["back"]);
    expect((await lagan("trash", "rm", "bb")).code).toBe(2);
    expect((await lines("trash", "rm", "--force", "bb"))[0]).toMatch(
      /^bb \(.*\): removed for good$/,
    );
    expect((await lines("trash", "empty", "--force"))[0]).toMatch(/^cc \(.*\): removed for good$/);
    expect(await lines("trash", "empty")).toEqual(["The trash is empty"]);
    expect(await lines("trash", "ls", "--quiet")).toEqual([]);
    expect(await lines("volume", "ls", "-q")).toEqual(["back"]);
  });
});

describe("pool, operation, status, version, events, doctor", () => {
  it("show what there is", async () => {
    await lines("volume", "create", "data");
    expect((await lines("pool", "ls"))[1]).toMatch(/^bulk +memory +ok +1 TiB +1 TiB +EDQUOT$/);
    expect((await lines("pool", "inspect", "bulk")).join("\n")).toMatch(/^Why +it is a test$/m);
    expect((await lines("operation", "ls"))[1]).toMatch(/volume.create +data +done/);
    const [id = ""] = await lines("operation", "ls", "-q");
    expect((await lines("operation", "inspect", id)).join("\n")).toMatch(/^State +done$/m);
    const status = await lines("status");
    expect(status[0]).toMatch(/^lagand 9\.9\.9 at unix:\/\/.*, up \d+ second/);
    expect(status[1]).toBe("Volumes: 1, in the trash: 0, running operations: 0");
    expect(await lines("version")).toEqual(["lagan    0.1.0", "lagand   9.9.9"]);
    expect((await lines("events")).at(-1)).toMatch(
      /volume\.created +Volume "data" was created in pool "default"$/,
    );
    const events = await lines("events", "--since", "2", "--json");
    expect(events.map((line) => JSON.parse(line).subject)).toEqual(["data"]);
    expect((await lines("doctor")).at(-1)).toBe("All is well.");
  });

  it("doctor ends with 1 when something is an error, and says what to do", async () => {
    const storage = memory.storages.get("bulk");
    if (storage !== undefined) storage.fault = "its disk is gone";
    const { code, stdout } = await lagan("doctor");
    expect(code).toBe(1);
    expect(stdout).toMatch(/^error {2}pool bulk: it is faulted: .*its disk is gone/m);
    expect(stdout).toMatch(/^1 error, 0 warnings\.$/m);
  });

  it("events --follow tells what happens, also over a restart of the daemon", async () => {
    const seen: string[] = [];
    const waiting: (() => void)[] = [];
    const child = execFile(process.execPath, [LAGAN, "events", "--follow", "--since", "0"], {
      env: { LAGAN_HOST: `unix://${socket}`, NODE_COMPILE_CACHE: compiled },
    });
    child.stdout?.on("data", (text: string) => {
      seen.push(text);
      for (const wake of waiting.splice(0)) wake();
    });
    const until = async (part: string): Promise<void> => {
      while (!seen.join("").includes(part)) await new Promise<void>((wake) => waiting.push(wake));
    };
    try {
      await until("pool.up");
      const { volumes, events } = memory.node.services;
      await volumes.create(parseVolumeName("first"), { labels: {} }, signal);
      await until('"first"');
      await app.close();
      memory = await memoryNode();
      const { services } = memory.node;
      expect(services.events).not.toBe(events);
      await serve();
      await services.volumes.create(parseVolumeName("second"), { labels: {} }, signal);
      await services.volumes.create(parseVolumeName("third"), { labels: {} }, signal);
      await until('"third"');
    } finally {
      child.kill();
      await new Promise((resolve) => child.once("close", resolve));
    }
  });
});

describe("without a daemon", () => {
  const nowhere = (...args: readonly string[]): Promise<Outcome> =>
    lagan("--host", `unix://${directory}/nowhere.sock`, ...args);

  it("says so, what to type, and ends with 24", async () => {
    const { code, stdout, stderr } = await nowhere("volume", "ls");
    expect({ code, stdout }).toEqual({ code: 24, stdout: "" });
    expect(stderr).toMatch(
      /^lagan: Cannot reach the daemon at unix:\/\/.*nowhere.sock: there is no socket/,
    );
    expect(stderr).toContain("systemctl status lagand");
    expect(stderr).toContain("lagan daemon");
  });

  it("tells a socket that a dead daemon left, and one that may not be used", async () => {
    const dead = join(directory, "dead.sock");
    const server = await new Promise<Server>((resolve) => {
      const one = createServer().listen(dead, () => resolve(one));
    });
    // A file of the same kind that nobody listens on: a link keeps it when the server takes its own away.
    await link(dead, `${dead}.left`);
    await new Promise((resolve) => server.close(resolve));
    const { code, stderr } = await lagan("--host", `unix://${dead}.left`, "status");
    expect(code).toBe(24);
    expect(stderr).toContain("nobody listens");
  });

  it("doctor makes it a finding", async () => {
    const { code, stdout, stderr } = await nowhere("doctor");
    expect({ code, stderr }).toEqual({ code: 24, stderr: "" });
    expect(stdout).toMatch(/^error {2}daemon: Cannot reach the daemon/);
    expect(stdout).toContain("systemctl status lagand");
    const json = JSON.parse((await nowhere("doctor", "--json")).stdout);
    expect(json).toMatchObject([{ level: "error", check: "daemon" }]);
  });

  it("version shows that of the command", async () => {
    const { code, stdout, stderr } = await nowhere("version");
    expect({ code, stdout }).toEqual({ code: 24, stdout: "lagan    0.1.0\n" });
    expect(stderr).toContain("Cannot reach the daemon");
  });

  it("help, completion of verbs, and wrong words need none", async () => {
    const absent = `unix://${directory}/nowhere.sock`;
    expect((await nowhere("--help")).code).toBe(0);
    expect((await nowhere("volume", "create", "--help")).code).toBe(0);
    expect((await lagan("__complete", "--host", absent, "volume", "c")).stdout).toBe("create\n");
    expect(await lagan("__complete", "--host", absent, "volume", "rm", "")).toMatchObject({
      code: 0,
      stdout: "",
    });
  });

  it("something else that listens there is told as such", async () => {
    const path = join(directory, "other.sock");
    const server = createServer((connection) => {
      connection.on("error", () => undefined).resume();
      connection.end("HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\n\r\ntea");
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const { code, stderr } = await lagan("--host", `unix://${path}`, "status");
      expect(code).toBe(24);
      expect(stderr).toContain("is it lagand that listens there?");
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe("wrong command lines end with 2, and the right word is near:", () => {
  it.each([
    [["volum", "ls"], "Did you mean volume?"],
    [["volume", "lss"], "Did you mean ls?"],
    [["volume", "ls", "--jsn"], "Did you mean --json?"],
    [["volume", "create"], "missing required argument 'name'"],
    [["volume", "create", "data", "more"], "too many arguments"],
    [["volume", "create", "data", "--size"], "argument missing"],
    [["volume", "create", "data", "--size", "1G", "-o", "size=2G"], "-o size twice"],
    [["volume", "create", "data", "--label", "=x"], "give KEY=VALUE"],
    [["volume", "set", "data"], "Cannot set nothing"],
    [["volume", "set", "data", "--label", "a=1", "--unlabel", "a"], "at once"],
    [["volume", "ls", "--json", "--quiet"], "give one of them"],
    [["volume", "ls", "--format", "{{.Nmae}}"], "fields are .Name"],
    [["events", "--since", "yesterday"], "a time ago such as 90s"],
    [["completion", "tcsh"], "Allowed choices are bash, zsh, fish"],
    [["--host", "tcp://x:1", "volume", "ls"], "give unix:///PATH"],
    [["--host", "unix://relative", "status"], "give unix:///PATH"],
    [["bad\u001b[31mword"], "\\u001b[31mword"],
  ])("%j", async (args, says) => {
    const { code, stdout, stderr } = await lagan(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^lagan: [^\n]*\n$/);
    expect(stderr).toContain(says);
    expect(await memory.node.services.volumes.list()).toEqual([]);
  });

  it.each([[[]], [["volume"]], [["trash"]]])(
    "%j shows the help on standard error",
    async (args) => {
      const { code, stdout, stderr } = await lagan(...args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(/^Usage: lagan/);
    },
  );
});

describe("what the daemon refuses ends with the code of its failure:", () => {
  it.each([
    [["volume", "create", "x!"], 13, "as a volume name"],
    [["volume", "create", "data", "--size", "1K"], 21, "the smallest is 1 MiB"],
    [["volume", "create", "data", "-o", "sise=1G"], 13, "allowed are size, pool"],
    [["volume", "create", "taken", "--size", "1G"], 16, "it exists with other options"],
    [["volume", "inspect", "a/b"], 13, "as a volume name"],
    [["volume", "inspect", "../../v1/status"], 13, "as a volume name"],
    [["volume", "inspect", "nobody"], 15, "does not exist"],
    [["trash", "restore", "nobody"], 15, "lagan trash ls"],
    [["pool", "inspect", "nope"], 15, "there is: bulk, default"],
    [["operation", "inspect", "5"], 13, "not a UUIDv7"],
  ])("%j %d", async (args, code, says) => {
    await lines("volume", "create", "taken");
    const outcome = await lagan(...args);
    expect(outcome).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(says) });
    expect(outcome.stderr).toMatch(/^lagan: Cannot [^\n]*\n$/);
  });
});

describe("output", () => {
  it("of --help fits a terminal of 80 by 24, and names every verb", async () => {
    const help = await lines("--help");
    expect(help.length).toBeLessThanOrEqual(24);
    for (const line of help) expect(line.length).toBeLessThanOrEqual(80);
    for (const word of ["volume", "trash", "pool", "operation", "daemon", "doctor", "completion"]) {
      expect(help.join("\n")).toContain(word);
    }
  });

  it("on a terminal fits its width and is colored; NO_COLOR turns that off", async () => {
    await lines("volume", "create", "x".repeat(120));
    const table = await interactive("", "volume", "ls");
    const rows = table.stdout.split(/\r?\n/).filter((line) => /NAME|xxx/.test(line));
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row.length).toBeLessThanOrEqual(80);
    expect(rows[1]).toContain("…");
    expect((await interactive("", "doctor")).stdout).toContain("\u001b[32mok");
    const plain = await run(
      "/usr/bin/env",
      ["script", "-qefc", `${process.execPath} ${LAGAN} doctor`, "/dev/null"],
      {
        LAGAN_HOST: `unix://${socket}`,
        NO_COLOR: "1",
      },
    );
    expect(plain.stdout).not.toContain("\u001b");
  });

  it("never sends a terminal what a record holds", async () => {
    await lines("volume", "create", "data");
    const { value } = await memory.node.services.volumes.get(parseVolumeName("data"));
    const evil: Volume = { ...value, labels: { a: "\u001b]0;owned\u0007\u202e" } };
    await memory.store.txn([], [putVolume(evil)]);
    await app.close();
    memory = await memoryNode({ store: memory.store });
    await serve();
    for (const args of [
      ["inspect", "data"],
      ["inspect", "--json", "data"],
      ["ls", "--json"],
      ["ls", "--format", "{{.Labels}}"],
    ]) {
      const { stdout } = await lagan("volume", ...args);
      expect(stdout).toContain("owned");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    }
  });

  it("into a reader that has seen enough is no failure", async () => {
    for (let index = 0; index < 30; index++) {
      await memory.node.services.volumes.create(
        parseVolumeName(`v${index}`),
        { labels: {} },
        signal,
      );
    }
    const command = `'${process.execPath}' '${LAGAN}' volume ls --json | head -c 1; exit \${PIPESTATUS[0]}`;
    const outcome = await run("/bin/bash", ["--norc", "-c", command], {
      LAGAN_HOST: `unix://${socket}`,
    });
    expect(outcome).toEqual({ code: 0, stdout: "[", stderr: "" });
  });
});

describe("completion", () => {
  it("knows verbs, flags, and the names that there are", async () => {
    await lines("volume", "create", "data");
    await lines("volume", "create", "other");
    await lines("volume", "create", "gone");
    await lines("volume", "rm", "gone");
    const complete = (...words: readonly string[]) => lines("__complete", ...words);
    expect(await complete("vo")).toEqual(["volume"]);
    expect(await complete("")).toContain("daemon");
    expect(await complete("volume", "r")).toEqual(["rm", "rename", "resize"]);
    expect(await complete("volume", "rm", "")).toEqual(["data", "other"]);
    expect(await complete("volume", "rm", "data", "")).toEqual(["other"]);
    expect(await complete("volume", "rename", "data", "")).toEqual([]);
    expect(await complete("volume", "create", "--p")).toEqual([
      ...["--pool", "--profile", "--path", "--protect"],
    ]);
    expect(await complete("volume", "create", "--pool", "")).toEqual(["bulk", "default"]);
    expect(await complete("volume", "create", "--pool", "=", "de")).toEqual(["default"]);
    expect((await complete("trash", "restore", ""))[0]).toBe("gone");
    expect(await complete("completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(await complete("--host", `unix://${socket}`, "pool", "inspect", "b")).toEqual(["bulk"]);
  });

  it("works in bash", async () => {
    await lines("volume", "create", "data");
    const { stdout: script } = await lagan("completion", "bash");
    const test = `lagan() { '${process.execPath}' '${LAGAN}' "$@"; }
${script}
COMP_WORDS=(lagan volume inspect d); COMP_CWORD=3; _lagan; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const outcome = await run("/bin/bash", ["--norc", "-c", test], {
      LAGAN_HOST: `unix://${socket}`,
    });
    expect(outcome).toEqual({ code: 0, stdout: "data\n", stderr: "" });
  });
});

describe("daemon", () => {
  it("becomes the daemon, in the same process, with all that stands after it", async () => {
    const help = await lagan("daemon", "--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toContain("Usage: lagand");
    const refused = await lagan("daemon", "--config", join(directory, "absent.yaml"));
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("lagand: Cannot read"),
    });
  });
});

describe("compiled code is kept only where nobody else can write:", () => {
  const uid = process.getuid?.() ?? 0;

  it("under the user's own cache directory", () => {
    const found = compileCacheDirectory({ XDG_CACHE_HOME: directory }, uid === 0 ? 1000 : uid);
    // Made by this test's user: of another user's directory nothing is taken.
    expect(found).toBe(uid === 0 ? undefined : join(directory, "lagan"));
  });

  it("not in a directory that others may write to, a link, or a file", async () => {
    const cases: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
      shared: (path) => mkdir(path).then(() => chmod(path, 0o777)),
      link: (path) => symlink(directory, path),
      file: (path) => writeFile(path, ""),
    };
    for (const [name, make] of Object.entries(cases)) {
      const base = join(directory, name);
      await mkdir(base);
      await make(join(base, "lagan"));
      expect(compileCacheDirectory({ XDG_CACHE_HOME: base }, 1), name).toBeUndefined();
      const own = uid === 0 ? undefined : compileCacheDirectory({ XDG_CACHE_HOME: base }, uid);
      expect(own, name).toBeUndefined();
    }
    expect(compileCacheDirectory({}, 1000)).toBeUndefined();
    expect(compileCacheDirectory({ HOME: "relative" }, 1000)).toBeUndefined();
  });
});
