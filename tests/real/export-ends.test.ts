import { hash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Background } from "./background.ts";
import { eventually, type Outcome } from "./command.ts";
import { DIRECTORY_POOL, NODE_ENVIRONMENT } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { callPlugin } from "./unix-http.ts";

/* How an export ends that does not get to its end, and by which way the bytes go. */

const LAGAN = join(import.meta.dirname, "../../src/bin/lagan.ts");
/** More than all pipes and buffers on the way hold together. */
const LARGE_BYTES = 16 * 1024 ** 2;
const ENVIRONMENT = { ...process.env, ...NODE_ENVIRONMENT };

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
  await machine.lagand.start({ config: DIRECTORY_POOL });
  await machine.mustLagan("volume", "create", "data");
  const asked = { Name: "data" };
  const answer = await callPlugin(machine.lagand.pluginSocketPath, "/VolumeDriver.Path", asked);
  const path = `${answer.json?.["Mountpoint"]}/large`;
  await machine.must("sh", "-c", `head -c ${LARGE_BYTES} /dev/urandom > ${path}`);
});
afterEach(() => machine[Symbol.asyncDispose]());

const command = () => [process.execPath, LAGAN, "--host", machine.lagand.address];

/** A script in which `"$@"` is the command. */
function script(text: string): Promise<Outcome> {
  return machine.run(["sh", "-c", text, "sh", ...command()], { env: ENVIRONMENT });
}

/** Every tar that packs something of this machine's. */
function tars(): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
      return words[0] === "tar" && words.some((word) => word.includes(machine.path()));
    } catch {
      return false;
    }
  });
}

/** An export into a pipe that is read no further than its beginning: it waits, and tar with it. */
async function heldExport(): Promise<{ readonly exporting: Background; readonly end: FileHandle }> {
  const pipe = machine.path("held");
  await machine.must("mkfifo", pipe);
  const argv = ["sh", "-c", `exec "$@" > ${pipe}`, "sh", ...command(), "export", "data"];
  const logFile = machine.path("export.log");
  const exporting = new Background(argv, { env: ENVIRONMENT, logFile });
  const end = await open(pipe, "r");
  await end.read(Buffer.alloc(1024));
  const [tar, ...others] = tars();
  expect(others).toEqual([]);
  // A pipe of the command's own, which has no name any more.
  expect(readlinkSync(`/proc/${tar}/fd/1`)).toMatch(/lagan-[^/]*\/pipe \(deleted\)$/);
  return { exporting, end };
}

const gone = (exporting: Background) =>
  eventually("the command has ended", () => (exporting.running ? undefined : true));
const noTar = () => eventually("no tar is left", () => (tars().length > 0 ? undefined : true));

it("an export whose reader has seen enough is no failure, and its tar ends", async () => {
  const { exporting, end } = await heldExport();
  await end.close();
  await gone(exporting);
  expect([exporting.exitCode, exporting.log()]).toEqual([0, ""]);
  await noTar();
  expect(await script('"$@" export data | tar -tf - | sort')).toMatchObject({
    code: 0,
    stdout: "./\n./large\n",
  });
});

it("an export whose reader went away before its first byte ends, also a small one", async () => {
  await machine.mustLagan("volume", "create", "small");
  // With all of it read ahead, only the end is waited for. By chance that has come already, so not only once.
  const { stdout } = await script(
    'for n in 1 2 3 4 5; do "$@" export small | true; echo "$n"; done',
  );
  expect(stdout).toBe("1\n2\n3\n4\n5\n");
  await noTar();
});

it.each(["SIGINT", "SIGKILL"] as const)("an export ended by %s leaves no tar", async (signal) => {
  const { exporting, end } = await heldExport();
  await exporting.end(signal);
  await noTar();
  await end.close();
  expect((await machine.lagan("volume", "rm", "data")).code).toBe(0);
});

it("an export whose daemon dies fails, and its tar ends", async () => {
  const { exporting, end } = await heldExport();
  await machine.lagand.kill();
  const rest = Buffer.alloc(1024 ** 2);
  while ((await end.read(rest)).bytesRead > 0);
  await end.close();
  await gone(exporting);
  expect(exporting.exitCode).toBe(24);
  expect(exporting.log()).toMatch(/^lagan: Cannot [^\n]*\n$/);
  await noTar();
});

it("a tar whose daemon dies ends, also when nobody closes what it writes to", async () => {
  const { exporting, end } = await heldExport();
  exporting.signal("SIGSTOP");
  await machine.lagand.kill();
  await noTar();
  exporting.signal("SIGCONT");
  await end.close();
  await gone(exporting);
});

it("a target without room for it is told, and no part stays under its name", async () => {
  const small = machine.path("small");
  await machine.must("mkdir", small);
  await machine.must("mount", "-t", "tmpfs", "-o", "size=1M", "none", small);
  const { stderr, stdout } = await script(
    `"$@" export data -o ${small}/x.tar; echo $?; ls ${small}; "$@" export data > ${small}/y.tar; echo $?`,
  );
  expect(stdout, stderr).toBe("18\n18\n");
  expect(stderr.match(/^lagan: Cannot .*No space left on device$/gm), stderr).toHaveLength(2);
  await noTar();
});

it("the same bytes come to a pipe where the daemon cannot take one, and where none can be made", async () => {
  const paths = ["own", "other", "none"].map((name) => machine.path(name));
  const [own = "", other = "", none = ""] = paths;
  const passed = machine.path("passed.sock");
  const [node, lagan] = command();
  const { stderr } = await script(
    [
      `"$@" export data | cat > ${own}`,
      // Who asks is then the program between.
      `socat UNIX-LISTEN:${passed},fork UNIX-CONNECT:${machine.lagand.socketPath} & between=$!`,
      `until [ -S ${passed} ]; do sleep 0.01; done`,
      `${node} ${lagan} --host unix://${passed} export data | cat > ${other}; kill $between`,
      `TMPDIR=/nonexistent "$@" export data | cat > ${none}`,
      'if "$@" export nope | cat; then "$@" export nope > /dev/null; fi',
    ].join("\n"),
  );
  const bytes = await readFile(own);
  expect((await stat(own)).size).toBeGreaterThan(LARGE_BYTES);
  for (const path of [other, none]) expect(bytes.equals(await readFile(path)), path).toBe(true);
  expect(stderr.match(/[0-9a-f]{64}/g), stderr).toEqual(new Array(3).fill(hash("sha256", bytes)));
  expect(stderr.match(/Cannot find volume "nope"/g)).toHaveLength(2);
});
