import { cp, open, rename, rm, truncate } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { Machine } from "./machine.ts";
import { findings, makeVolume, rest, volumeNames } from "./rest-caller.ts";

/* Rows of docs/failure-catalogue.md that concern the records. */

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
});
afterEach(() => machine[Symbol.asyncDispose]());

/** Starts lagand, which must end by itself; resolves to what it said. */
async function refusal(): Promise<string> {
  const { lagand } = machine;
  await lagand.launch();
  await eventually("lagand has ended", () => !lagand.running);
  expect(lagand.exitCode).toBe(1);
  return lagand.logTail();
}

/** Puts the state directory on a small file system of its own. */
async function smallState(sizeMib: number, mkfs: readonly string[] = []): Promise<void> {
  const image = machine.path("small.img");
  await (await open(image, "wx")).close();
  await truncate(image, sizeMib * 1024 ** 2);
  for (const argv of [
    ["mkfs.ext4", "-q", "-m", "0", ...mkfs, image],
    ["mkdir", machine.path("state")],
    ["mount", "-o", "loop", image, machine.path("state")],
  ]) {
    const { code, stderr } = await machine.run(argv);
    if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  }
}

it("F14 a second daemon on the same directories ends, saying why, and the first goes on", async () => {
  const { lagand } = machine;
  await lagand.start();
  const { code, stderr } = await lagand.runToEnd("pools: { default: { driver: directory } }\n");
  expect(code).toBe(1);
  expect(stderr).toMatch(/Cannot open the store .*: another process has it open/);
  await makeVolume(lagand, "after");
});

it("F15 a damaged store is refused, named, and left as it is; the volumes' content is untouched", async () => {
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "kept");
  await lagand.stop();
  const store = machine.path("state/store.db");
  const file = await open(store, "r+");
  await file.write(Buffer.alloc(8192, 0xa5), 0, 8192, 4096);
  await file.close();
  expect(await refusal()).toContain(store);
  expect(await refusal()).toContain(store);
});

/** It is refused until somebody says that it is to be so; then what it does not know is reported, and kept. */
async function expectOlderRefused(): Promise<void> {
  const { lagand } = machine;
  const seen = machine.path("state/store.db.seen");
  for (let round = 0; round < 2; round++) expect(await refusal()).toContain(`remove ${seen}`);
  await rm(machine.namespace.inside(seen));
  await lagand.start();
  expect(await volumeNames(lagand)).toEqual(["early"]);
  for (let round = 0; round < 2; round++) {
    expect(await findings(lagand)).toMatch(/warn .*holds layer .*belongs to no volume/);
    await lagand.crash();
  }
}

it("F15 a store without its write-ahead log is refused: the newest records are gone", async () => {
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "early");
  await lagand.stop();
  await lagand.start();
  await makeVolume(lagand, "late");
  await lagand.kill();
  await rm(machine.path("state/store.db-wal"));
  await expectOlderRefused();
});

it("F15 a store that is gone is refused, not begun anew", async () => {
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "early");
  await lagand.stop();
  await rename(machine.path("state/store.db"), machine.path("away.db"));
  for (let round = 0; round < 2; round++) expect(await refusal()).toContain("older");
  await rename(machine.path("away.db"), machine.path("state/store.db"));
  await lagand.start();
  expect(await volumeNames(lagand)).toEqual(["early"]);
});

it("F16 a store that was set back is refused; who goes on with it is told of the layers that it does not know", async () => {
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "early");
  await lagand.stop();
  await cp(machine.path("state/store.db"), machine.path("copy.db"));
  await lagand.start();
  await makeVolume(lagand, "late");
  await lagand.stop();
  await cp(machine.path("copy.db"), machine.path("state/store.db"));
  await expectOlderRefused();
});

it("F17 an I/O error while the store commits ends the daemon, and the next start reads back all that was acknowledged", async () => {
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "kept");
  await lagand.stop();
  // Every fsync of the store's log from the n-th on; the opening makes some.
  const inject = [
    "-P",
    machine.path("state/store.db-wal"),
    "-e",
    "inject=fsync,fdatasync:error=EIO:when=6+",
  ];
  await lagand.start({
    prefix: [
      "strace",
      "-f",
      "-D",
      "-qq",
      "-o",
      "/dev/null",
      "-e",
      "trace=fsync,fdatasync",
      ...inject,
    ],
  });
  const acknowledged = ["kept"];
  await eventually("the daemon ends", async () => {
    const name = `n${acknowledged.length}`;
    const made = await makeVolume(lagand, name).then(
      () => true,
      () => false,
    );
    if (made) acknowledged.push(name);
    return !lagand.running;
  });
  expect(lagand.exitCode).toBe(1);
  await lagand.start({});
  const names = await volumeNames(lagand);
  expect(names).toEqual(expect.arrayContaining(acknowledged));
  expect(names.length).toBeLessThanOrEqual(acknowledged.length + 1);
  expect(await findings(lagand)).not.toContain("error");
});

it("F18 a full disk under the store refuses what is new, answers what is there, loses nothing, and goes on when there is room", async () => {
  await smallState(24);
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "before");
  await machine.run(["sh", "-c", `cat /dev/zero >${machine.path("state/large")}`]);
  const made: string[] = [];
  let refused = "";
  for (let n = 0; n < 200 && refused === ""; n++) {
    const { status, body } = await rest(lagand, "POST", "/v1/volumes", { name: `full${n}` }).catch(
      () => ({ status: 0, body: "hung up" }),
    );
    if (status === 201) made.push(`full${n}`);
    else refused = body;
  }
  expect(refused).toMatch(/No space|no space|full|hung up|room/);
  if (lagand.running) {
    expect(await volumeNames(lagand)).toEqual(["before", ...made].sort());
  }
  await rm(machine.namespace.inside(machine.path("state/large")));
  if (!lagand.running) await lagand.start();
  await eventually("a volume can be made again", () =>
    makeVolume(lagand, "later").then(
      () => true,
      () => false,
    ),
  );
  expect(await volumeNames(lagand)).toEqual(expect.arrayContaining(["before", "later", ...made]));
});

it("F18 a read-only file system under the store is told at the start", async () => {
  await smallState(24);
  const { lagand } = machine;
  await lagand.start();
  await makeVolume(lagand, "kept");
  await lagand.stop();
  await machine.run(["mount", "-o", "remount,ro", machine.path("state")]);
  expect(await refusal()).toMatch(/lagand: Cannot open the store .*: its file system is read-only/);
  await machine.run(["mount", "-o", "remount,rw", machine.path("state")]);
  await lagand.start();
  expect(await volumeNames(lagand)).toEqual(["kept"]);
});

it("F21 when no more files can be made, creation says so, and what is there can be removed", async () => {
  await smallState(32, ["-N", "64"]);
  const { lagand } = machine;
  await lagand.start();
  const made: string[] = [];
  let refused = "";
  for (let n = 0; n < 64 && refused === ""; n++) {
    const { status, body } = await rest(lagand, "POST", "/v1/volumes", { name: `full${n}` });
    if (status === 201) made.push(`full${n}`);
    else refused = body;
  }
  expect(refused).toMatch(/space|resource_exhausted/i);
  expect(await volumeNames(lagand)).toEqual([...made].sort());
  expect((await rest(lagand, "DELETE", `/v1/volumes/${made[0]}`)).status).toBe(200);
  expect((await rest(lagand, "DELETE", "/v1/trash")).status).toBe(200);
  await makeVolume(lagand, "again");
});
