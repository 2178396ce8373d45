import { execFile } from "node:child_process";
import { hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Archive, Unpacked, UnpackOptions } from "../../src/core/ports/archive.ts";
import { attacks } from "./archive-attacks.ts";
import { archive as byHand, type Header } from "./tar-by-hand.ts";

/** An archive port, and a machine with trees for it. */
export interface ArchiveGiven {
  readonly archive: Archive;
  /** A new directory with one of everything in it. */
  readonly makeRich: () => Promise<string>;
  /** A path at which nothing is. */
  readonly absent: string;
  /** A new empty directory each time. It lies beside `outside/canary`, which is not to be touched. */
  readonly empty: () => Promise<string>;
  /** An absolute path of a file outside of every directory. */
  readonly canary: string;
  /** Every fact about a tree, a line each. */
  readonly describe: (root: string) => Promise<readonly string[]>;
  /** Processes of the port that still run. */
  readonly processes: () => Promise<readonly string[]>;
  readonly cleanup: () => Promise<void>;
}

/** How the suite gets at one. */
export interface ArchiveHarness {
  readonly fresh: () => Promise<ArchiveGiven>;
}

const ALL: UnpackOptions = { limitBytes: null, devices: true };

/** All of a stream. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

/** A stream of `bytes`, in pieces of so many. */
export async function* streamOf(bytes: Uint8Array, piece = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}

/** Holds a form of `Archive` to its numbered sentences. */
export function archiveConformance(name: string, harness: ArchiveHarness): void {
  const check = (title: string, body: (given: ArchiveGiven) => Promise<void>): void => {
    it(title, async () => {
      const given = await harness.fresh();
      try {
        await body(given);
        expect(await given.processes()).toEqual([]);
      } finally {
        await given.cleanup();
      }
    });
  };
  const { signal } = new AbortController();

  describe(`Archive: ${name}`, () => {
    check(
      "14 an archive that is written to a file is the same, and begins where that stands",
      async (given) => {
        const { archive, empty } = given;
        const rich = await given.makeRich();
        const path = `${await empty()}/x.tar`;
        await using file = await open(path, "w");
        await file.write("before");
        const bytes = await archive.packInto(rich, file.fd, {}, signal);
        const packed = await collect(archive.pack(rich, {}, signal));
        expect(bytes).toBe(packed.length);
        const written = await readFile(path);
        expect(written.subarray(0, 6).toString()).toBe("before");
        expect(written.subarray(6).equals(packed)).toBe(true);
        await file.write("after");
        expect((await readFile(path)).subarray(-5).toString()).toBe("after");
        const [tree, { fd }] = [given.absent, file] as const;
        const absent = archive.packInto(tree, fd, {}, signal);
        await expect(absent).rejects.toMatchObject({ code: "not_found" });
        const over = AbortSignal.abort(new Error("no more"));
        await expect(archive.packInto(rich, fd, {}, over)).rejects.toThrow("no more");
      },
    );

    check("14 to a pipe it writes the same, and tells no number", async (given) => {
      const { archive, empty } = given;
      const rich = await given.makeRich();
      const path = `${await empty()}/pipe`;
      await promisify(execFile)("mkfifo", [path]);
      const file = await open(path, "r+");
      const piped = collect(createReadStream(path));
      const bytes = await archive.packInto(rich, file.fd, {}, signal).finally(() => file.close());
      expect(bytes).toBe(null);
      expect(await piped).toEqual(await collect(archive.pack(rich, {}, signal)));
    });

    for (const compress of [undefined, "zstd"] as const) {
      check(`1 everything goes both ways, ${compress ?? "plain"}`, async (given) => {
        const { archive, empty } = given;
        const rich = await given.makeRich();
        const options = compress === undefined ? {} : { compress };
        const packed = await collect(archive.pack(rich, options, signal));
        const target = await empty();
        const done = await archive.unpack(streamOf(packed), target, ALL, signal);
        const lines = await given.describe(rich);
        expect(await given.describe(target)).toEqual(lines);
        expect(done).toMatchObject({
          entries: lines.length,
          receivedBytes: packed.length,
          notes: [],
        });
        expect(done.sha256).toBe(sha256Of(packed));
        const plain = await collect(archive.pack(rich, {}, signal));
        expect(done.plainBytes).toBeLessThanOrEqual(plain.length);
        expect(done.plainBytes).toBeGreaterThan(300_000);
      });
    }

    check(
      "1 pieces of any size, and gzip, are read",
      async ({ archive, makeRich, empty, describe }) => {
        const rich = await makeRich();
        const packed = await collect(archive.pack(rich, {}, signal));
        const lines = await describe(rich);
        const gzip = gzipSync(packed);
        const streams = [streamOf(packed, 999), streamOf(packed, 10 ** 9), streamOf(gzip, 1)];
        for (const stream of streams) {
          const target = await empty();
          await archive.unpack(stream, target, ALL, signal);
          expect(await describe(target)).toEqual(lines);
        }
      },
    );

    check("1 what other programs write is read", async ({ archive, empty, describe }) => {
      const long = `${"d".repeat(90)}/${"f".repeat(90)}`;
      const entries: readonly Header[] = [
        { name: "v7", magic: "\0".repeat(8), type: "\0", content: "v7" },
        { name: "v7-directory/", magic: "\0".repeat(8), type: "\0" },
        { name: "f".repeat(90), prefix: "d".repeat(90), content: "prefix" },
        { name: "L", magic: "ustar  \0", type: "L", content: `gnu-${long}\0` },
        { name: "cut", magic: "ustar  \0", content: "GNU" },
        { name: "K", magic: "ustar  \0", type: "K", content: `${long}/${long}\0` },
        { name: "gnu-link", magic: "ustar  \0", type: "2", link: "cut" },
        { name: "g", type: "g", content: "19 comment=a commit\n".replace("19", "20") },
        { name: "././/contiguous", type: "7", content: "7" },
        { name: "times", pax: { atime: "1", ctime: "2", mtime: "1.123456789012", comment: "" } },
      ];
      const target = await empty();
      await archive.unpack(streamOf(byHand(...entries)), target, ALL, signal);
      const lines = (await describe(target)).join("\n");
      for (const name of ["v7 100644", "v7-directory 40", long, `gnu-${long}`, "gnu-link 120"]) {
        expect(lines).toContain(`./${name}`);
      }
      expect(lines).toContain(`${long}/${long}`);
      expect(lines).toMatch(/times 100644 0 0 1123456789 /);
    });

    check("3 an abort rejects with its reason", async ({ archive, makeRich, empty, describe }) => {
      const rich = await makeRich();
      const before = AbortSignal.abort("enough");
      await expect(collect(archive.pack(rich, {}, before))).rejects.toBe("enough");
      await expect(archive.unpack(streamOf(byHand()), await empty(), ALL, before)).rejects.toBe(
        "enough",
      );
      const packing = new AbortController();
      const half = (async () => {
        for await (const _ of archive.pack(rich, {}, packing.signal)) packing.abort("half");
      })();
      await expect(half).rejects.toBe("half");
      // A stream that never goes on.
      const unpacking = new AbortController();
      const packed = await collect(archive.pack(rich, {}, signal));
      const stalled = (async function* () {
        yield packed.subarray(0, 20_000);
        unpacking.abort("stalled");
        await new Promise(() => undefined);
      })();
      const unpacked = archive.unpack(stalled, await empty(), ALL, unpacking.signal);
      await expect(unpacked).rejects.toBe("stalled");
      expect((await describe(rich)).length).toBeGreaterThan(20);
    });

    check("3 whoever stops reading early leaves nothing behind", async ({ archive, makeRich }) => {
      const rich = await makeRich();
      for (const options of [{}, { compress: "zstd" }] as const) {
        for await (const part of archive.pack(rich, options, signal)) {
          expect(part.length).toBeGreaterThan(0);
          break;
        }
      }
    });

    check("4 two archives of one tree are equal", async ({ archive, makeRich }) => {
      const rich = await makeRich();
      const first = await collect(archive.pack(rich, {}, signal));
      expect(sha256Of(await collect(archive.pack(rich, {}, signal)))).toBe(sha256Of(first));
      const zstd = await collect(archive.pack(rich, { compress: "zstd" }, signal));
      expect(zstd.length).toBeLessThan(first.length / 4);
      expect(first.subarray(257, 262).toString()).toBe("ustar");
    });

    check("6 an absent directory: not_found; a file: invalid_argument", async (given) => {
      const { archive, absent, canary } = given;
      const packing = (path: string) => collect(archive.pack(path, {}, signal));
      const unpacking = (path: string) => archive.unpack(streamOf(byHand()), path, ALL, signal);
      for (const work of [packing, unpacking]) {
        await expect(work(absent)).rejects.toMatchObject({ name: "Failure", code: "not_found" });
        await expect(work(canary)).rejects.toMatchObject({ code: "invalid_argument" });
      }
    });

    describe("7-10 is attacked", () => {
      for (const title of Object.keys(attacks("/canary", ".."))) {
        check(title, async (given) => {
          const target = await given.empty();
          const attack = attacks(given.canary, "../outside/canary")[title];
          if (attack === undefined) throw new Error(title);
          const outside = given.canary.slice(0, given.canary.lastIndexOf("/"));
          const before = await given.describe(outside);
          const { bytes, limitBytes = null, limitEntries, devices = false } = attack;
          for (const piece of [65_536, 7777]) {
            const options = { limitBytes, devices, ...(limitEntries && { limitEntries }) };
            const into = piece === 65_536 ? target : await given.empty();
            const work = given.archive.unpack(streamOf(bytes, piece), into, options, signal);
            await expect(work).rejects.toMatchObject({
              name: "Failure",
              code: attack.code ?? "invalid_argument",
              message: expect.stringContaining(attack.says),
            });
          }
          expect(await given.describe(outside)).toEqual(before);
        });
      }
    });

    check("7 a directory that is not empty: failed_precondition", async ({ archive, empty }) => {
      const target = await empty();
      await archive.unpack(streamOf(byHand({ name: "a" })), target, ALL, signal);
      const again = archive.unpack(streamOf(byHand({ name: "b" })), target, ALL, signal);
      await expect(again).rejects.toMatchObject({ code: "failed_precondition" });
    });

    check("8 symbolic links are kept wherever they point", async ({ archive, empty, describe }) => {
      const target = await empty();
      const entries = ["/etc/passwd", "../../..", "."].map((link, n) => ({
        ...{ name: `link-${n}`, type: "2", link },
      }));
      await archive.unpack(streamOf(byHand(...entries)), target, ALL, signal);
      const lines = await describe(target);
      expect(lines.join("\n")).toMatch(
        /link-0 .*\/etc\/passwd.*\n.*link-1 .*\.\.\/\.\.\/\.\..*\n.*link-2/,
      );
    });

    check("8 devices are made when they are asked for", async ({ archive, empty, describe }) => {
      const device: Header = { name: "null", type: "3", major: 1, minor: 3, mode: 0o666 };
      const target = await empty();
      await archive.unpack(streamOf(byHand(device)), target, ALL, signal);
      expect((await describe(target)).at(-1)).toMatch(/^\.\/null 20666 /);
    });

    check(
      "11 of two entries with one name the later stays",
      async ({ archive, empty, describe }) => {
        const target = await empty();
        const entries: readonly Header[] = [
          { name: "a", content: "first", mode: 0o600 },
          { name: "link", type: "2", link: "/nowhere" },
          { name: "fifo", type: "6" },
          { name: "a", content: "second!", mode: 0o640 },
          { name: "link", content: "a file now" },
          { name: "fifo", content: "a file too" },
          { name: "\u00e9", content: "composed" },
          { name: "e\u0301", content: "decomposed" },
        ];
        const done: Unpacked = await archive.unpack(
          streamOf(byHand(...entries)),
          target,
          ALL,
          signal,
        );
        expect(done.entries).toBe(entries.length);
        const lines = await describe(target);
        expect(lines.length).toBe(6);
        expect(lines.join("\n")).toMatch(/a 100640 .* 7 /);
        for (const name of ["link", "fifo"]) expect(lines.join("\n")).toContain(`./${name} 100644`);
      },
    );

    check("12 what no Linux could keep is a note", async ({ archive, empty }) => {
      const pax = {
        "SCHILY.xattr.com.apple.quarantine": "q",
        "SCHILY.acl.ace": "owner@:rwx::allow",
      };
      const stream = streamOf(byHand({ name: "mac", pax, content: "x" }));
      const { notes } = await archive.unpack(stream, await empty(), ALL, signal);
      expect(notes).toEqual([
        'attribute "SCHILY.xattr.com.apple.quarantine" of "mac" was not kept',
        'attribute "SCHILY.acl.ace" of "mac" was not kept',
      ]);
    });

    check("13 a stream is told to stop after a failure", async ({ archive, empty }) => {
      let stopped = false;
      const stream = (async function* () {
        try {
          for (;;) yield byHand({ name: "../up" });
        } finally {
          stopped = true;
        }
      })();
      await expect(archive.unpack(stream, await empty(), ALL, signal)).rejects.toThrow("..");
      expect(stopped).toBe(true);
      const failing = (async function* () {
        yield zstdCompressSync(byHand({ name: "a" })).subarray(0, 10);
        throw new Error("the connection was lost");
      })();
      const lost = archive.unpack(failing, await empty(), ALL, signal);
      await expect(lost).rejects.toThrow("the connection was lost");
    });
  });
}

function sha256Of(bytes: Uint8Array): string {
  return hash("sha256", bytes);
}
