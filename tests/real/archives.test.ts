import { hash } from "node:crypto";
import { open, readFile, stat } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { RestClient } from "../../src/api/rest/client.ts";
import { eventually } from "./command.ts";
import { DIRECTORY_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { rest, volumeNames } from "./rest-caller.ts";
import { callPlugin } from "./unix-http.ts";

/* Archives and comparisons as users make them: the command, the daemon, real trees. */

const LAGAN = join(import.meta.dirname, "../../src/bin/lagan.ts");

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
  await machine.lagand.start();
  await machine.mustLagan("volume", "create", "data");
});
afterEach(() => machine[Symbol.asyncDispose]());

/** Runs a script in a volume's content. */
async function within(volume: string, script: string): Promise<string> {
  const { pluginSocketPath: socketPath } = machine.lagand;
  const answer = await callPlugin(socketPath, "/VolumeDriver.Path", { Name: volume });
  const path = String(answer.json?.["Mountpoint"]);
  const { code, stdout, stderr } = await machine.run([
    "sh",
    "-ec",
    `cd "$1"; ${script}`,
    "sh",
    path,
  ]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

const LISTING = "find . -printf '%P %y %m %U %G %s %l\\n' | sort; md5sum file";

async function fillData(): Promise<void> {
  await within(
    "data",
    "echo hello > file; mkdir -p sub; ln -s ../file sub/link; chmod 600 file; chown 7:8 sub",
  );
}

/** What `lagan …` is given on standard input, and says. */
function laganReading(file: string, ...args: readonly string[]) {
  const shell = `exec "$@" < ${file}`;
  const command = [process.execPath, LAGAN, "--host", machine.lagand.address, ...args];
  return machine.run(["sh", "-c", shell, "sh", ...command], {
    env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" },
  });
}

it("a snapshot goes out as a tar that GNU tar reads, and comes back as the same tree", async () => {
  await fillData();
  await machine.mustLagan("snapshot", "create", "data", "--name", "before");
  await within("data", "echo later > file");
  const tar = machine.path("x.tar");
  const { code, stderr } = await machine.lagan("export", "data@before", "-o", tar);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^data@before: .* sha256 [0-9a-f]{64}\n$/);
  expect((await machine.run(["tar", "-xOf", tar, "./file"])).stdout).toBe("hello\n");
  const imported = await machine.lagan("import", tar, "copy");
  expect(imported).toMatchObject({ code: 0, stdout: "copy\n" });
  expect(imported.stderr).toContain(/sha256 [0-9a-f]{64}/.exec(stderr)?.[0]);
  await machine.mustLagan("restore", "data@before");
  expect(await within("copy", LISTING)).toBe(await within("data", LISTING));
});

it("zstd and standard input and output do as well, also of what a volume holds now", async () => {
  await fillData();
  const tar = machine.path("x.tar.zst");
  const output = await machine.lagan("export", "data", "--zstd", "-o", tar);
  expect(output.code).toBe(0);
  expect((await readFile(tar)).readUInt32LE(0)).toBe(0xfd2fb528);
  expect(await laganReading(tar, "import", "-", "copy")).toMatchObject({ code: 0 });
  expect(await within("copy", LISTING)).toBe(await within("data", LISTING));
});

it("an archive is the same by a file of the command's own, by one that is appended to, and by a pipe", async () => {
  await fillData();
  const [one, two, three] = ["1", "2", "3"].map((name) => machine.path(name)) as [
    ...[string, string, string],
  ];
  const script = `"$@" export data > ${one}; "$@" export data >> ${two}; "$@" export data | cat > ${three}`;
  const command = [process.execPath, LAGAN, "--host", machine.lagand.address];
  const { stderr } = await machine.run(["sh", "-ec", script, "sh", ...command], {
    env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" },
  });
  const bytes = await readFile(one);
  expect((await readFile(two)).equals(bytes)).toBe(true);
  expect((await readFile(three)).equals(bytes)).toBe(true);
  const sums = stderr.match(/[0-9a-f]{64}/g);
  expect(sums).toEqual(new Array(3).fill(hash("sha256", bytes)));
});

it("the daemon writes to and reads from a file of a client of root's, and refuses any other", async () => {
  await fillData();
  const client = new RestClient(machine.lagand.address);
  const path = machine.path("own.tar");
  await using file = await open(path, "w+");
  const bytes = await client.exportInto("data", file.fd);
  expect((await file.stat()).size).toBe(bytes);
  await using reading = await open(path, "r");
  const none = (async function* () {})();
  const asked = { options: {}, devices: false, author: "me" };
  const imported = await client.importTar("copy", none, { ...asked, file: reading.fd });
  expect(imported).toMatchObject({
    receivedBytes: bytes,
    sha256: hash("sha256", await readFile(path)),
  });
  expect(await within("copy", LISTING)).toBe(await within("data", LISTING));
  await expect(client.exportInto("data", reading.fd)).rejects.toMatchObject({
    code: "unimplemented",
  });
  await using directory = await open(machine.path());
  const again = client.importTar("other", none, { ...asked, file: directory.fd });
  await expect(again).rejects.toMatchObject({ code: "unimplemented" });
  // As a program that passes the connection on would be asked.
  const body = { file: file.fd, inode: "1:1" };
  const answer = await rest(machine.lagand, "POST", "/v1/volumes/data/export", body);
  expect([answer.status, (await file.stat()).size]).toEqual([501, bytes]);
  expect(await volumeNames(machine.lagand)).toEqual(["copy", "data"]);
});

it("a damaged or hostile archive leaves no volume, and says what is wrong", async () => {
  const bad = machine.path("bad.tar");
  await machine.run(["sh", "-c", `head -c 700000 /dev/urandom > ${bad}`]);
  for (const [file, code] of [
    [bad, 13],
    ["/nonexistent", 15],
    ["/etc", 19],
  ] as const) {
    const refused = await machine.lagan("import", file, "copy");
    expect([refused.code, refused.stdout], refused.stderr).toEqual([code, ""]);
    expect(refused.stderr).toMatch(/^lagan: Cannot /);
  }
  await machine.run(["sh", "-c", `cd /; tar -cPf ${bad} /etc/hostname`]);
  expect((await machine.lagan("import", bad, "copy")).stderr).toContain("/etc/hostname");
  expect(await volumeNames(machine.lagand)).toEqual(["data"]);
  const taken = await machine.lagan("import", bad, "data");
  expect(taken).toMatchObject({ code: 16 });
  expect((await machine.lagan("volume", "create", "copy")).code).toBe(0);
});

it("an import whose client goes, or whose daemon dies, leaves no volume", async () => {
  const begin = () => {
    const sent = request({
      ...{ socketPath: machine.lagand.socketPath, method: "POST" },
      path: "/v1/volumes/copy/import",
    });
    sent.on("error", () => undefined);
    sent.write(Buffer.alloc(1024));
    return sent;
  };
  const running = async () => {
    const { stdout } = await machine.lagan("operation", "ls", "--format", "{{.Verb}} {{.State}}");
    return stdout.includes("volume.import running") ? true : undefined;
  };
  const first = begin();
  await eventually("it is under way", running);
  first.destroy();
  await eventually("it is taken back", async () => ((await running()) ? undefined : true));
  const second = begin();
  await eventually("it is under way again", running);
  await machine.lagand.kill();
  second.destroy();
  await machine.lagand.start();
  expect(await volumeNames(machine.lagand)).toEqual(["data"]);
  expect((await machine.lagan("volume", "create", "copy")).code).toBe(0);
});

it("a limit holds while an archive comes in", async () => {
  await machine.lagand.stop();
  await machine.lagand.start({
    config: `${DIRECTORY_POOL}  sized:\n    driver: btrfs\n    size: 512M\n`,
  });
  const tar = machine.path("big.tar");
  await machine.run([
    "sh",
    "-c",
    `cd ${machine.path()}; head -c 30000000 /dev/urandom > big; tar -cf ${tar} big`,
  ]);
  const refused = await machine.lagan("import", tar, "copy", "--pool", "sized", "--size", "10M");
  expect([refused.code, refused.stdout], refused.stderr).toEqual([18, ""]);
  expect(await volumeNames(machine.lagand)).toEqual(["data"]);
  expect(
    (await machine.lagan("import", tar, "copy", "--pool", "sized", "--size", "60M")).code,
  ).toBe(0);
});

it("diff says what was added, changed and removed, in each of its forms", async () => {
  await fillData();
  await machine.mustLagan("snapshot", "create", "data", "--name", "one");
  await within("data", "echo longer text > file; echo new > new; rm -r sub");
  await machine.mustLagan("snapshot", "create", "data", "--name", "two");
  const expected = [
    "~ file   6 B -> 12 B",
    "+ new   4 B",
    "- sub/",
    "- sub/link",
    "1 added, 1 changed, 2 removed; 6 B before, 16 B now",
  ].join("\n");
  for (const form of [
    ["data@one", "data@two"],
    ["data@one...data@two"],
    ["data@one…"],
    ["data@one"],
  ]) {
    expect(await machine.mustLagan("diff", ...form), form.join(" ")).toBe(expected);
  }
  expect(await machine.mustLagan("diff", "data@two", "data")).toBe("No difference");
  const json = (await machine.mustLagan("diff", "--json", "data@one")).split("\n");
  expect(json.map((line) => JSON.parse(line))).toMatchObject([
    { path: "file", kind: "changed", bytesBefore: 6, bytesAfter: 12 },
    ...[{ path: "new", kind: "added" }, { path: "sub", kind: "removed" }, { path: "sub/link" }],
    { summary: { added: 1, changed: 1, removed: 2 } },
  ]);
  expect((await machine.lagan("diff", "data@nope")).code).toBe(15);
  expect((await machine.lagan("diff", "data")).code).toBe(2);
});

it("an export is not written where it would be lost, or a part taken for the whole", async () => {
  const file = machine.path("nowhere/x.tar");
  expect(await machine.lagan("export", "data", "-o", file)).toMatchObject({ code: 15 });
  expect(await machine.lagan("export", "nope", "-o", machine.path("y.tar"))).toMatchObject({
    code: 15,
  });
  await expect(stat(machine.path("y.tar"))).rejects.toThrow("ENOENT");
  const inTerminal = [
    "script",
    "-qec",
    `${process.execPath} ${LAGAN} --host ${machine.lagand.address} export data`,
    "/dev/null",
  ];
  expect((await machine.run(inTerminal)).stdout).toContain("Cannot write an archive to a terminal");
});
