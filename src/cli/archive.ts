import { createHash, type Hash } from "node:crypto";
import { createReadStream, fstatSync, open as openByNumber } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { Command } from "commander";
import { Failure } from "../core/failure.ts";
import { formatBytes } from "../core/size.ts";
import { authorOf } from "./author.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./exit-code.ts";
import { positionOf, saidUntouched, standingStill, unlessUnable, writtenTo } from "./own-file.ts";
import { collect, parsePairs } from "./pairs.ts";
import { printable } from "./printable.ts";
import { whileCopying, whileMoving, withProgress } from "./progress.ts";

/** A number that stays open: a `FileHandle` would be closed when nobody holds it. */
const openFile = promisify(openByNumber);

const STANDARD_INPUT = 0;
const STANDARD_OUTPUT = 1;
const NOTHING: AsyncIterable<Uint8Array> = Readable.from([]);
/** End of the name of a file that is not whole yet. */
const PARTIAL = ".partial";

interface ExportOptions {
  readonly output?: string;
  readonly zstd?: true;
}

/** `lagan export` */
export function exportCommand(context: Context): Command {
  return new Command("export")
    .description("Write a snapshot, or a volume as it is now, as a tar that any tool reads")
    .argument("<ref>", "VOLUME@SNAPSHOT, VOLUME@BRANCH or VOLUME")
    .option("-o, --output <file>", "where to; else standard output")
    .option("--zstd", "compress it")
    .addHelpText("after", "\nExample: lagan export data@before > data.tar")
    .action(async (ref: string, { output, zstd }: ExportOptions) => {
      if (output === undefined && context.terminal.columns !== undefined) {
        throw new UsageError("Cannot write an archive to a terminal: give -o FILE, or > FILE");
      }
      const client = await context.client();
      const hash = createHash("sha256");
      const told = (pieces: AsyncIterable<Uint8Array>) =>
        withProgress(context, hashed(pieces, hash), null);
      const send = () => told(client.exportTar(ref, zstd === true ? { compress: "zstd" } : {}));
      const into = (descriptor: number) => client.exportInto(ref, descriptor);
      const straight = async (descriptor: number): Promise<number | undefined> => {
        if (zstd === true) return undefined;
        const pieces = writtenTo(descriptor, () => into(descriptor));
        if (pieces === undefined) return undefined;
        return await unlessUnable(standingStill(descriptor), () => bytesOf(told(pieces)));
      };
      const piped = async (): Promise<number | undefined> => {
        if (zstd === true || !fstatSync(STANDARD_OUTPUT).isFIFO()) return undefined;
        const { pipedFrom, toPipe } = await import("./own-pipe.ts");
        const made = await pipedFrom(into);
        if (made === undefined) return undefined;
        return await unlessUnable(made.untouched, () => toPipe(STANDARD_OUTPUT, told(made.pieces)));
      };
      const bytes =
        output === undefined
          ? ((await straight(STANDARD_OUTPUT)) ??
            (await piped()) ??
            (await toStandardOutput(send())))
          : await toFile(output, async (file) => (await straight(file.fd)) ?? write(file, send()));
      context.err(`${printable(ref)}: ${formatBytes(bytes)}, sha256 ${hash.digest("hex")}\n`);
    });
}

/** How many bytes they are. */
async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) bytes += piece.byteLength;
  return bytes;
}

async function* hashed(pieces: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

/** Answers how many bytes they were. */
export async function toStandardOutput(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.byteLength;
    if (process.stdout.write(piece)) continue;
    await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
  }
  return bytes;
}

/** Under another name until it is whole: nobody takes a part for an archive. */
export async function toFile<T>(path: string, fill: (file: FileHandle) => Promise<T>): Promise<T> {
  const partial = `${path}${PARTIAL}`;
  try {
    const file = await open(partial, "w", 0o600);
    let filled: T;
    try {
      filled = await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
    return filled;
  } catch (thrown) {
    await rm(partial, { force: true });
    throw fileFailure("write", path, thrown);
  }
}

/** Answers how many bytes they were. */
export async function write(file: FileHandle, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) {
    await file.write(piece);
    bytes += piece.byteLength;
  }
  return bytes;
}

interface ImportOptions {
  readonly size?: string;
  readonly pool?: string;
  readonly profile?: string;
  readonly devices?: true;
  readonly opt: readonly string[];
}

/** `lagan import` */
export function importCommand(context: Context): Command {
  return new Command("import")
    .description("Make a volume from a tar, plain or compressed by zstd or gzip")
    .argument("<file>", "the archive; - is standard input")
    .argument("<name>", "name of the new volume")
    .option("--size <size>", "most that it may hold: 500M, 10G (1024s), 10GB (1000s)")
    .option("--pool <pool>", "where its bytes lie")
    .option("--profile <profile>", "named defaults for new volumes")
    .option("--devices", "make device nodes too, which are refused otherwise")
    .option("-o, --opt <key=value>", "an option as docker volume create -o takes it", collect, [])
    .addHelpText("after", "\nExample: lagan import data.tar copy")
    .action(async (path: string, name: string, { devices, opt, ...values }: ImportOptions) => {
      const named = Object.entries(values).map(([key, value]) => `${key}=${value}`);
      const options = parsePairs("-o", [...opt, ...named]);
      const client = await context.client();
      const given = { options, devices: devices === true, author: authorOf() };
      const { pieces, totalBytes, descriptor } = await openArchive(path);
      const straight =
        descriptor === undefined
          ? undefined
          : await importOwn(context, descriptor, {
              name,
              totalBytes,
              work: () => client.importTar(name, NOTHING, { ...given, file: descriptor }),
            });
      const imported =
        straight ??
        (await client.importTar(name, withProgress(context, pieces, totalBytes), given));
      const { volume, entries, receivedBytes, sha256, notes } = imported;
      context.out(`${printable(volume.name)}\n`);
      context.err(`${entries} entries, ${formatBytes(receivedBytes)}, sha256 ${sha256}\n`);
      for (const note of notes) context.err(`lagan: ${printable(note)}\n`);
    });
}

/** Has the daemon read from an open file or pipe of this process, and tells how far it is; undefined: it cannot. */
function importOwn<T>(
  context: Context,
  descriptor: number,
  of: {
    readonly name: string;
    readonly totalBytes: number | null;
    readonly work: () => Promise<T>;
  },
): Promise<T | undefined> {
  const { name, totalBytes, work } = of;
  if (positionOf(descriptor) === undefined) {
    return unlessUnable(saidUntouched, () => whileCopying(context, name, work()));
  }
  const position = () => positionOf(descriptor) ?? 0;
  return unlessUnable(standingStill(descriptor), () =>
    whileMoving(context, { position, totalBytes }, work()),
  );
}

/** An archive to read, open until this process ends. */
interface OpenArchive {
  readonly pieces: AsyncIterable<Uint8Array>;
  readonly totalBytes: number | null;
  /** Of a plain file or a pipe; undefined: it is neither. */
  readonly descriptor: number | undefined;
}

/** A file or named pipe, or standard input for `-`. */
export async function openArchive(path: string): Promise<OpenArchive> {
  if (path === "-") {
    if (process.stdin.isTTY) {
      throw new UsageError("Cannot read an archive from a terminal: give a FILE, or < FILE");
    }
    return { pieces: process.stdin, totalBytes: null, descriptor: lendable(STANDARD_INPUT) };
  }
  try {
    // In a thread: a named pipe opens when it has a writer.
    const file = await openFile(path, "r");
    const found = fstatSync(file);
    if (found.isDirectory())
      throw Object.assign(new Error("it is a directory"), { code: "EISDIR" });
    const totalBytes = found.isFile() ? found.size : null;
    return { pieces: readFile(path, file), totalBytes, descriptor: lendable(file) };
  } catch (thrown) {
    throw fileFailure("read", path, thrown);
  }
}

function lendable(descriptor: number): number | undefined {
  const found = fstatSync(descriptor);
  return found.isFile() || found.isFIFO() ? descriptor : undefined;
}

async function* readFile(path: string, fd: number): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of createReadStream(path, { fd, highWaterMark: 1024 ** 2 })) {
      yield piece as Uint8Array;
    }
  } catch (thrown) {
    throw fileFailure("read", path, thrown);
  }
}

function fileFailure(verb: string, path: string, cause: unknown): unknown {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (cause instanceof Failure || !/^E[A-Z]+$/.test(code)) return cause;
  const why =
    code === "ENOENT" && verb === "read"
      ? "it does not exist"
      : String(cause).replace(/^Error: /, "");
  const kind = { ENOENT: "not_found", ENOSPC: "resource_exhausted", EACCES: "permission_denied" }[
    code
  ];
  return new Failure(
    (kind ?? "failed_precondition") as Failure["code"],
    `Cannot ${verb} ${path}: ${why}`,
    { cause },
  );
}
