import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { hostArchive } from "../../src/host/archive.ts";
import { type ArchiveGiven, archiveConformance, collect, streamOf } from "./archive.ts";
import { command, HostMachine } from "./host-machine.ts";
import { describeTree, makeRichTree } from "./rich-tree.ts";
import { whileSwapping } from "./swapping.ts";
import { archive as byHand, END, entry } from "./tar-by-hand.ts";

archiveConformance("this machine's", { fresh });

async function fresh(): Promise<ArchiveGiven> {
  const machine = await HostMachine.make();
  const at = (name: string): string => `${machine.directory}/${name}`;
  mkdirSync(at("outside"));
  writeFileSync(at("outside/canary"), "alive");
  let count = 0;
  return {
    archive: hostArchive,
    makeRich: async () => {
      mkdirSync(at("rich"));
      makeRichTree(at("rich"));
      return at("rich");
    },
    absent: at("absent"),
    empty: () => machine.makeDirectory(`empty-${count++}`),
    canary: at("outside/canary"),
    describe: async (root) => describeTree(root),
    processes: async () => processesNaming(machine.directory),
    cleanup: () => machine.cleanup(),
  };
}

function processesNaming(directory: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(directory);
    } catch {
      return false;
    }
  });
}

/** As much as tar wants to see before it begins. */
const RECORD = entry({ name: "record", content: "x".repeat(200_000) });

/** Waits for what other processes do. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("Archive: this machine's, on real trees", () => {
  const { signal } = new AbortController();
  const ALL = { limitBytes: null };
  const within = async (body: (machine: HostMachine) => Promise<void>): Promise<void> => {
    const machine = await HostMachine.make();
    try {
      await body(machine);
      expect(processesNaming(machine.directory)).toEqual([]);
      expect(await machine.mountPoints()).toEqual([]);
    } finally {
      await machine.cleanup();
    }
  };

  it("1 leaves out sockets", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("t");
      writeFileSync(`${tree}/file`, "x");
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(`${tree}/socket`, resolve));
      try {
        const packed = await collect(hostArchive.pack(tree, {}, signal));
        expect(packed.includes("./file")).toBe(true);
        expect(packed.includes("./socket")).toBe(false);
      } finally {
        await new Promise((resolve) => server.close(resolve));
      }
    }));

  it("1 tells ACLs by number, whatever the users of the host are called", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("t");
      makeRichTree(tree);
      const packed = await collect(hostArchive.pack(tree, {}, signal));
      expect(packed.includes("user:1000:r--")).toBe(true);
      expect(packed.includes("group:70000:-w-")).toBe(true);
    }));

  it("1 is read by another tar", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("t");
      writeFileSync(`${tree}/file`, "content");
      mkdirSync(`${tree}/directory`);
      writeFileSync(
        `${machine.directory}/x.tar`,
        await collect(hostArchive.pack(tree, {}, signal)),
      );
      const listed = await command("busybox", "tar", "-tf", `${machine.directory}/x.tar`);
      expect(listed.split("\n")).toEqual(["./", "./directory/", "./file", ""]);
    }));

  it("2 the event loop goes on while much is packed and unpacked", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("t");
      for (let n = 0; n < 8; n++) writeFileSync(`${tree}/${n}`, randomBytes(8 * 1024 ** 2));
      let longestMs = 0;
      let last = performance.now();
      const ticking = setInterval(() => {
        longestMs = Math.max(longestMs, performance.now() - last);
        last = performance.now();
      }, 1);
      const packed = hostArchive.pack(tree, { compress: "zstd" }, signal);
      await hostArchive.unpack(packed, await machine.makeDirectory("to"), ALL, signal);
      clearInterval(ticking);
      // On a machine that is busy with other things as well.
      expect(longestMs).toBeLessThan(2000);
    }));

  it("5 packs nothing from outside, though a directory becomes a link", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("t");
      const outside = await machine.makeDirectory("outside");
      for (let n = 0; n < 100; n++) writeFileSync(`${outside}/s${n}`, "the secret");
      mkdirSync(`${tree}/swap`);
      for (let n = 0; n < 100; n++) writeFileSync(`${tree}/swap/s${n}`, "harmless");
      symlinkSync(outside, `${tree}/link`);
      await whileSwapping(`${tree}/swap`, `${tree}/link`, async () => {
        for (let round = 0; round < 15; round++) {
          const parts: Uint8Array[] = [];
          try {
            for await (const part of hostArchive.pack(tree, { live: true }, signal))
              parts.push(part);
          } catch (thrown) {
            expect(thrown).toMatchObject({ name: "Failure", code: "aborted" });
          }
          expect(Buffer.concat(parts).includes("the secret")).toBe(false);
        }
      });
    }));

  it("5 a tree that changes: aborted, unless it may", () =>
    within(async (machine) => {
      const tree = await machine.makeDirectory("t");
      writeFileSync(`${tree}/large`, randomBytes(32 * 1024 ** 2));
      const pack = async (live: boolean): Promise<void> => {
        let first = true;
        for await (const _ of hostArchive.pack(tree, { live }, signal)) {
          // tar is in the middle of the file: nobody takes the rest from it.
          if (first) appendFileSync(`${tree}/large`, "more");
          first = false;
        }
      };
      await expect(pack(false)).rejects.toMatchObject({ name: "Failure", code: "aborted" });
      await pack(true);
    }));

  it("7 writes nothing outside, though a directory becomes a link under it", () =>
    within(async (machine) => {
      const target = await machine.makeDirectory("target");
      const outside = await machine.makeDirectory("outside");
      writeFileSync(`${outside}/f7`, "alive");
      chmodSync(outside, 0o777);
      const before = describeTree(outside);
      let swapped: Promise<void> | undefined;
      const over = Promise.withResolvers<void>();
      const stream = async function* () {
        yield Buffer.concat([entry({ name: "d/", type: "5", mode: 0o777 }), RECORD]);
        await until(() => existsSync(`${target}/d`));
        symlinkSync(outside, `${target}/evil`);
        swapped = whileSwapping(`${target}/d`, `${target}/evil`, () => over.promise);
        for (let n = 0; n < 3000; n++)
          yield entry({ name: `d/f${n}`, content: "evil", mode: 0o666 });
        yield END;
      };
      try {
        await hostArchive.unpack(stream(), target, ALL, signal);
      } catch (thrown) {
        expect(thrown).toMatchObject({ name: "Failure" });
      } finally {
        over.resolve();
        await swapped;
      }
      expect(describeTree(outside)).toEqual(before);
    }));

  it("10 a full file system: resource_exhausted", () =>
    within(async (machine) => {
      const small = await machine.mount("-t tmpfs -o size=1m", "tmpfs", "small");
      const bytes = byHand({ name: "a", content: "x".repeat(3 * 1024 ** 2) });
      const work = hostArchive.unpack(streamOf(bytes), small, ALL, signal);
      await expect(work).rejects.toMatchObject({
        code: "resource_exhausted",
        message: expect.stringContaining("No space left on device"),
      });
      await command("umount", small);
    }));

  it("12 an attribute that this file system cannot keep fails, and is named", () =>
    within(async (machine) => {
      const plain = await machine.mount("-t ramfs", "ramfs", "plain");
      const bytes = byHand({ name: "a", pax: { "SCHILY.xattr.user.mine": "1" } });
      const work = hostArchive.unpack(streamOf(bytes), plain, ALL, signal);
      await expect(work).rejects.toMatchObject({
        code: "unimplemented",
        message: expect.stringContaining("user.mine"),
      });
      await command("umount", plain);
    }));

  it("3 a tar that is killed is a failure, not a silence", () =>
    within(async (machine) => {
      const target = await machine.makeDirectory("target");
      const stream = async function* () {
        yield Buffer.concat([entry({ name: "a", content: "x" }), RECORD]);
        await until(() => existsSync(`${target}/a`));
        for (const pid of processesNaming(target)) process.kill(Number(pid), "SIGKILL");
        for (;;) yield entry({ name: "b", content: "x".repeat(60_000) });
      };
      await expect(hostArchive.unpack(stream(), target, ALL, signal)).rejects.toMatchObject({
        name: "Failure",
        code: "aborted",
      });
      const tree = await machine.makeDirectory("tree");
      writeFileSync(`${tree}/large`, randomBytes(32 * 1024 ** 2));
      const packing = async (): Promise<void> => {
        for await (const _ of hostArchive.pack(tree, {}, signal)) {
          for (const pid of processesNaming(tree)) process.kill(Number(pid), "SIGKILL");
        }
      };
      await expect(packing()).rejects.toMatchObject({ name: "Failure", code: "aborted" });
    }));

  it("0 an empty archive is an empty tree", () =>
    within(async (machine) => {
      const target = await machine.makeDirectory("target");
      const done = await hostArchive.unpack(streamOf(byHand()), target, ALL, signal);
      expect(done).toMatchObject({ entries: 0, plainBytes: 1024, receivedBytes: 1024 });
      expect(describeTree(target).length).toBe(1);
    }));
});
