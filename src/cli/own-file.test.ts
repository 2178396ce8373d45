import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { writtenTo } from "./own-file.ts";

let directory: string;
let file: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lagan-own-file-"));
  file = openSync(join(directory, "x"), "w");
});
afterEach(() => {
  closeSync(file);
  rmSync(directory, { recursive: true });
});

async function collect(pieces: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const piece of pieces ?? []) copies.push(Buffer.from(piece));
  return Buffer.concat(copies);
}

it("what is written in many pieces is read as it is, from where the file stood", async () => {
  writeSync(file, "before");
  const write = async (): Promise<number> => {
    let bytes = 0;
    for (let n = 0; n < 40; n++) {
      bytes += writeSync(file, Buffer.alloc(50_001, n));
      await setImmediate();
    }
    return bytes;
  };
  const read = await collect(writtenTo(file, write));
  expect(read.equals(readFileSync(join(directory, "x")).subarray(6))).toBe(true);
});

it("a file that somebody cuts off is no archive", async () => {
  const write = async (): Promise<number> => {
    const bytes = writeSync(file, Buffer.alloc(100_000));
    ftruncateSync(file, 10);
    return bytes;
  };
  await expect(collect(writtenTo(file, write))).rejects.toMatchObject({ code: "aborted" });
});

it("a failure of who writes is the reader's, after what was written", async () => {
  const write = async (): Promise<number> => {
    writeSync(file, "part");
    throw new Error("no room");
  };
  await expect(collect(writtenTo(file, write))).rejects.toThrow("no room");
});

it("a file that does not end where it stands is not written to so", () => {
  writeSync(file, "before", 100);
  expect(writtenTo(file, () => Promise.resolve(0))).toBe(undefined);
});
