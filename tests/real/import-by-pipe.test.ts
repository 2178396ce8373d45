import { readdirSync, readlinkSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Background } from "./background.ts";
import { eventually, type Outcome } from "./command.ts";
import { DIRECTORY_POOL, NODE_ENVIRONMENT } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { volumeNames } from "./rest-caller.ts";

/* Archives that another program writes to the command: the daemon reads its pipe itself. */

const LAGAN = join(import.meta.dirname, "../../src/bin/lagan.ts");
const ENVIRONMENT = { ...process.env, ...NODE_ENVIRONMENT };
/** More than a pipe holds. */
const LARGE_BYTES = 4 * 1024 ** 2;

let machine: Machine;
let archive: string;
beforeEach(async () => {
  machine = await Machine.create();
  await machine.lagand.start({ config: DIRECTORY_POOL });
  archive = machine.path("x.tar");
  const large = `head -c ${LARGE_BYTES} /dev/urandom > large; tar -cf ${archive} large`;
  await machine.must("sh", "-ec", `cd ${machine.path()}; ${large}`);
});
afterEach(() => machine[Symbol.asyncDispose]());

const command = () => [process.execPath, LAGAN, "--host", machine.lagand.address];

/** A script in which `"$@"` is the command. */
function script(text: string): Promise<Outcome> {
  return machine.run(["sh", "-c", text, "sh", ...command()], { env: ENVIRONMENT });
}

/** How the command is given its pipe. */
const WAYS = ["standard input", "path"] as const;
type Way = (typeof WAYS)[number];

/** An import from a pipe, and the end to write to. */
async function startImport(way: Way = "standard input") {
  const pipe = machine.path("held");
  await machine.must("mkfifo", pipe);
  const [input, file] = way === "path" ? ["", pipe] : [`< ${pipe}`, "-"];
  const argv = ["sh", "-c", `exec "$@" ${input}`, "sh", ...command(), "import", file, "copy"];
  const logFile = machine.path("import.log");
  const importing = new Background(argv, { env: ENVIRONMENT, logFile });
  return { importing, end: await open(pipe, "w"), pipe };
}

/** One that was given the beginning of an archive; the daemon waits for more. */
async function heldImport(beginning: Uint8Array, way?: Way) {
  const { importing, end, pipe } = await startImport(way);
  await end.writeFile(beginning);
  await eventually("the daemon has the pipe", async () =>
    readdirSync(`/proc/${machine.lagand.pid}/fd`).some((descriptor) => {
      try {
        return readlinkSync(`/proc/${machine.lagand.pid}/fd/${descriptor}`).endsWith(pipe);
      } catch {
        return false;
      }
    }),
  );
  return { importing, end };
}

it.each(WAYS)("an archive that comes by a pipe, as its %s, is imported", async (way) => {
  const bytes = await readFile(archive);
  const { importing, end } = await heldImport(bytes.subarray(0, 100_000), way);
  await end.writeFile(bytes.subarray(100_000));
  await end.close();
  await eventually("it has ended", () => (importing.running ? undefined : true));
  expect([importing.exitCode, importing.log()]).toEqual([
    0,
    expect.stringMatching(/^copy\n1 entr/),
  ]);
  const { code, stdout } = await script(
    `"$@" export copy | tar -xOf - ./large | cmp - ${machine.path("large")} && echo same`,
  );
  expect([code, stdout]).toEqual([0, "same\n"]);
});

it.each(["SIGINT", "SIGKILL"] as const)(
  "an import ended by %s leaves no volume",
  async (signal) => {
    const bytes = await readFile(archive);
    const { importing, end } = await heldImport(bytes.subarray(0, LARGE_BYTES / 2));
    await importing.end(signal);
    const under = async () => (await machine.mustLagan("operation", "ls")).includes("running");
    await eventually("it is taken back", async () => !(await under()));
    await end.close();
    expect(await volumeNames(machine.lagand)).toEqual([]);
    expect((await machine.lagan("volume", "create", "copy")).code).toBe(0);
  },
);

it.each(WAYS)(
  "what is no archive, in its %s, is refused while more may come, and what follows is not taken for one",
  async (way) => {
    const { importing, end } = await startImport(way);
    await end.writeFile("x".repeat(1024));
    await eventually("it has ended", () => (importing.running ? undefined : true));
    await end.close();
    expect(importing.exitCode).toBe(13);
    expect(importing.log()).toMatch(/^lagan: Cannot [^\n]*\n$/);
  },
);

it("an archive that breaks off leaves no volume, nor does one for a size that is none", async () => {
  const { stderr, stdout } = await script(
    [
      `head -c 1000000 ${archive} | "$@" import - copy; echo $?`,
      `cat ${archive} | "$@" import - copy --size 1X; echo $?`,
    ].join("\n"),
  );
  expect(stdout, stderr).toBe("13\n13\n");
  expect(await volumeNames(machine.lagand)).toEqual([]);
});

it.each([
  ["standard input", "-"],
  ["path", "/dev/fd/0"],
])(
  "where the daemon cannot take the pipe, the bytes of its %s come by the connection",
  async (_, file) => {
    const passed = machine.path("passed.sock");
    const [node, lagan] = command();
    const { code, stderr } = await script(
      [
        "set -e",
        `socat UNIX-LISTEN:${passed},fork UNIX-CONNECT:${machine.lagand.socketPath} & between=$!`,
        `until [ -S ${passed} ]; do sleep 0.01; done`,
        `cat ${archive} | ${node} ${lagan} --host unix://${passed} import ${file} copy; kill $between`,
      ].join("\n"),
    );
    expect([code, stderr], stderr).toEqual([0, expect.stringMatching(/^1 entries, 4 MiB/)]);
    expect(await volumeNames(machine.lagand)).toEqual(["copy"]);
  },
);
