import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { MeantFile } from "../../src/core/ports/caller-files.ts";
import { hostCallerFiles } from "../../src/host/caller-files.ts";
import { collect } from "./archive.ts";

/* `CallerFiles` of this machine: the numbers are those of its contract. */

const NOBODY = 65_534;

let directory: string;
let server: Server;
let path: string;
const sockets: Socket[] = [];
const opened: number[] = [];
let child: ChildProcess | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "lagan-caller-"));
  // Without a place in a directory, so that everyone reaches it.
  path = `\0${directory}`;
  server = createServer().listen(path);
  await once(server, "listening");
});

afterEach(() => {
  child?.kill("SIGKILL");
  child = undefined;
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const file of opened.splice(0)) closeSync(file);
  server.close();
  rmSync(directory, { recursive: true });
});

/** The server's end of a connection that this process makes. */
async function accepted(to: string | { readonly port: number } = path): Promise<Socket> {
  const coming = once(server, "connection");
  sockets.push(typeof to === "string" ? connect(to) : connect(to.port));
  const [socket] = (await coming) as [Socket];
  sockets.push(socket);
  return socket;
}

function file(flags: number, content = ""): number {
  const name = join(directory, "file");
  writeFileSync(name, content);
  const descriptor = openSync(name, flags);
  opened.push(descriptor);
  return descriptor;
}

function meant(number: number): MeantFile {
  const { dev, ino } = fstatSync(number, { bigint: true });
  return { number, inode: `${dev}:${ino}` };
}

const descriptors = () => readdirSync("/proc/self/fd").length;
const REFUSED = { code: "unimplemented", detail: { untouched: true } };

it("1 what is lent is the very file that the caller has open, with its place in it", async () => {
  const socket = await accepted();
  const ours = file(constants.O_RDWR, "0123456789");
  readSync(ours, Buffer.alloc(4));
  const lent = await hostCallerFiles.take(socket, meant(ours), "read");
  expect(lent.descriptor).not.toBe(ours);
  expect((await collect(lent.content())).toString()).toBe("456789");
  lent.close();
  lent.close();
  const writable = await hostCallerFiles.take(socket, meant(ours), "write");
  writeSync(writable.descriptor, "more");
  writable.close();
  expect(readFileSync(join(directory, "file"), "utf8")).toBe("0123456789more");
});

it("1 content of many pieces comes whole, also when its reader takes a copy late", async () => {
  const content = Buffer.alloc(3_000_001, "abcdefghijk");
  const ours = file(constants.O_RDONLY);
  writeFileSync(join(directory, "file"), content);
  const lent = await hostCallerFiles.take(await accepted(), meant(ours), "read");
  const held: Uint8Array[] = [];
  const copies: Buffer[] = [];
  for await (const piece of lent.content()) {
    held.push(piece);
    // The last three are as they were.
    if (held.length > 2) copies.push(Buffer.from(held.shift() as Uint8Array));
  }
  lent.close();
  expect(Buffer.concat([...copies, ...held]).equals(content)).toBe(true);
});

it("1 a file that the caller cannot use so is refused", async () => {
  const socket = await accepted();
  const before = descriptors();
  for (const [flags, use] of [
    [constants.O_RDONLY, "write"],
    [constants.O_WRONLY, "read"],
    [constants.O_WRONLY | constants.O_APPEND, "write"],
  ] as const) {
    const ours = file(flags);
    await expect(hostCallerFiles.take(socket, meant(ours), use)).rejects.toMatchObject(REFUSED);
    closeSync(opened.pop() as number);
  }
  expect(descriptors()).toBe(before);
});

it("2 what is no regular file is refused, and a number that is none", async () => {
  const socket = await accepted();
  for (const name of ["/dev/null", directory]) {
    const ours = openSync(name, constants.O_RDONLY);
    opened.push(ours);
    await expect(hostCallerFiles.take(socket, meant(ours), "read")).rejects.toMatchObject(REFUSED);
  }
  await expect(
    hostCallerFiles.take(socket, { number: 1_000_000, inode: "1:1" }, "read"),
  ).rejects.toMatchObject(REFUSED);
});

it("2 a pipe is lent as well, grown, and waits for the caller as it did", async () => {
  const socket = await accepted();
  const name = join(directory, "pipe");
  execFileSync("mkfifo", [name]);
  const ours = openSync(name, constants.O_RDWR);
  opened.push(ours);
  const writing = await hostCallerFiles.take(socket, meant(ours), "write");
  // More than it holds when it is new.
  const content = Buffer.alloc(500_000, "abcdefghijk");
  expect(writeSync(writing.descriptor, content)).toBe(content.length);
  writing.close();
  const flags = readFileSync(`/proc/self/fdinfo/${ours}`, "utf8");
  const lent = await hostCallerFiles.take(socket, meant(ours), "read");
  const reading = lent.content()[Symbol.asyncIterator]();
  const first = await reading.next();
  expect(readFileSync(`/proc/self/fdinfo/${ours}`, "utf8")).toBe(flags);
  closeSync(opened.pop() as number);
  lent.close();
  lent.close();
  const read = [first.value as Uint8Array];
  for (let next = await reading.next(); next.done !== true; next = await reading.next()) {
    read.push(next.value);
  }
  expect(Buffer.concat(read).equals(content)).toBe(true);
});

it("3 another file of that number than the caller means is not touched", async () => {
  const socket = await accepted();
  const ours = file(constants.O_RDWR, "x");
  const { inode } = meant(ours);
  const before = descriptors();
  for (const other of [`${inode}1`, undefined]) {
    const taking = hostCallerFiles.take(socket, { number: ours, inode: other }, "write");
    await expect(taking).rejects.toMatchObject(REFUSED);
  }
  expect(descriptors()).toBe(before);
});

it("2 a process that is not root's lends nothing", async () => {
  const coming = once(server, "connection");
  const become = `process.setgid(${NOBODY}); process.setuid(${NOBODY})`;
  const script = `${become}; require("net").connect(${JSON.stringify(path)})`;
  child = spawn(process.execPath, ["-e", script], { stdio: "ignore" });
  const [socket] = (await coming) as [Socket];
  sockets.push(socket);
  await expect(hostCallerFiles.take(socket, meant(0), "read")).rejects.toMatchObject({
    ...REFUSED,
    message: expect.stringMatching(/^Cannot use the caller's own file: .*not permitted/),
  });
});

it("4 a connection from elsewhere, or one that has gone, has no files", async () => {
  const socket = await accepted();
  const ours = file(constants.O_RDONLY, "x");
  socket.destroy();
  await expect(hostCallerFiles.take(socket, meant(ours), "read")).rejects.toMatchObject(REFUSED);
  server.close();
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { readonly port: number };
  const far = await accepted({ port });
  await expect(hostCallerFiles.take(far, meant(ours), "read")).rejects.toMatchObject(REFUSED);
});
