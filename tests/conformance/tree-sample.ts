import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmod,
  chown,
  lchown,
  link,
  mkdir,
  open,
  readFile,
  rename,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const MIB = 1024 ** 2;

/** Something that a tree of files can hold, and that a file system may lack. */
export type TreeFeature =
  | "plain files"
  | "directories"
  | "hard links"
  | "links"
  | "odd names"
  | "extended attributes"
  | "trusted attributes"
  | "access control lists"
  | "capabilities"
  | "sparse files"
  | "fifos and sockets"
  | "devices"
  | "set-id bits"
  | "deep directories";

/** Makes each feature in an empty directory of its own. */
const MAKE: Readonly<Record<TreeFeature, (at: string) => Promise<void>>> = {
  "plain files": async (at) => {
    await writeFile(join(at, "empty"), "");
    await writeFile(join(at, "text"), "some text\n", { mode: 0o640 });
    await writeFile(join(at, "secret"), "nobody reads this", { mode: 0o000 });
    await writeFile(join(at, "large"), noise(3 * MIB + 17));
    await chown(join(at, "text"), 1234, 5678);
    await touch("2001-09-09T01:46:40.123456789Z", join(at, "text"));
    await touch("1950-01-01T00:00:00.000000001Z", join(at, "empty"));
  },
  directories: async (at) => {
    await mkdir(join(at, "empty"), { mode: 0o700 });
    await mkdir(join(at, "shared"));
    await chmod(join(at, "shared"), 0o1777);
    await chown(join(at, "empty"), 11, 22);
    await touch("2010-10-10T10:10:10.101010101Z", join(at, "empty"));
    await writeFile(join(at, "shared", "file"), "in it");
    await touch("2011-11-11T11:11:11.111111111Z", join(at, "shared"));
  },
  "hard links": async (at) => {
    await mkdir(join(at, "other"));
    await writeFile(join(at, "first"), "one file, three names");
    await link(join(at, "first"), join(at, "second"));
    await link(join(at, "first"), join(at, "other", "third"));
    await symlink("first", join(at, "pointer"));
    await link(join(at, "pointer"), join(at, "other", "pointer too"));
    await run("mkfifo", [join(at, "fifo")]);
    await link(join(at, "fifo"), join(at, "fifo too"));
  },
  links: async (at) => {
    await symlink("nowhere", join(at, "dangling"));
    await symlink("/etc/shadow", join(at, "absolute"));
    await symlink("../..", join(at, "up"));
    await symlink(Buffer.from([0x2e, 0x2f, 0xff, 0x0a, 0x80]), join(at, "odd target"));
    await lchown(join(at, "dangling"), 77, 88);
    await touch("2012-12-12T12:12:12.121212121Z", join(at, "dangling"));
  },
  "odd names": async (at) => {
    const names = [
      ...["line\nbreak", "-rf", " ", "*", "quote'\"`$(x)\\", "...", "tab\t", "é\u{1f6a2}"],
      "n".repeat(255),
      ": No such file or directory",
    ].map((name) => Buffer.from(name));
    for (const name of [...names, Buffer.from([0xff, 0xfe, 0x2e, 0xc3, 0x28, 0x01])]) {
      await writeFile(Buffer.concat([Buffer.from(`${at}/`), name]), name);
    }
    const directory = Buffer.concat([Buffer.from(`${at}/`), Buffer.from([0x80, 0x0a, 0xfe])]);
    await mkdir(directory);
    await writeFile(Buffer.concat([directory, Buffer.from("/inner")]), "inner");
  },
  "extended attributes": async (at) => {
    await writeFile(join(at, "file"), "file");
    await mkdir(join(at, "directory"));
    await setAttribute("user.text", "some text", join(at, "file"));
    await setAttribute("user.bytes", "0x00ff0a00", join(at, "file"));
    await setAttribute("user.empty", "", join(at, "file"));
    await setAttribute("user.of-directory", "yes", join(at, "directory"));
    await setAttribute("user.long", `0x${"5a".repeat(1000)}`, join(at, "directory"));
  },
  "trusted attributes": async (at) => {
    await writeFile(join(at, "file"), "file");
    await symlink("file", join(at, "link"));
    await run("mkfifo", [join(at, "fifo")]);
    for (const name of ["file", "link", "fifo"]) {
      await setAttribute("trusted.sample", `of ${name}`, join(at, name));
    }
  },
  "access control lists": async (at) => {
    await writeFile(join(at, "file"), "file", { mode: 0o640 });
    await mkdir(join(at, "directory"));
    await run("setfacl", ["-m", "u:1234:rw,g:5678:r,m::rw", join(at, "file")]);
    await run("setfacl", ["-m", "u:1234:rwx", join(at, "directory")]);
    await run("setfacl", ["-d", "-m", "u:1234:rwx,o::-", join(at, "directory")]);
    await writeFile(join(at, "directory", "inherits"), "the default");
  },
  capabilities: async (at) => {
    await writeFile(join(at, "program"), "#!/bin/true\n", { mode: 0o755 });
    await chown(join(at, "program"), 1234, 5678);
    await run("setcap", ["cap_net_raw=ep", join(at, "program")]);
  },
  "sparse files": async (at) => {
    const file = await open(join(at, "sparse"), "wx");
    await file.truncate(256 * MIB);
    await file.write("begin", 0);
    await file.write("middle", 128 * MIB + 123);
    await file.close();
    const hollow = await open(join(at, "hollow"), "wx");
    await hollow.truncate(64 * MIB + 1);
    await hollow.close();
  },
  "fifos and sockets": async (at) => {
    await run("mkfifo", ["-m", "620", join(at, "fifo")]);
    await chown(join(at, "fifo"), 5, 6);
    await makeSocket(at, "socket");
  },
  devices: async (at) => {
    await run("mknod", ["-m", "666", join(at, "null"), "c", "1", "3"]);
    await run("mknod", ["-m", "660", join(at, "disk"), "b", "7", "250"]);
  },
  "set-id bits": async (at) => {
    await writeFile(join(at, "program"), "#!/bin/true\n");
    await chown(join(at, "program"), 1234, 5678);
    await chmod(join(at, "program"), 0o6755);
    await mkdir(join(at, "group"));
    await chown(join(at, "group"), 0, 5678);
    await chmod(join(at, "group"), 0o2770);
    await writeFile(join(at, "group", "member"), "of the directory's group");
  },
  "deep directories": async (at) => {
    let path = at;
    for (let depth = 0; depth < 60; depth++) path = join(path, `level ${depth}`);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "bottom"), "down here");
  },
};

/** Fills a directory with all that a tree can hold, but for what its file system lacks. */
export async function makeSampleTree(root: string, lacks: ReadonlySet<TreeFeature>): Promise<void> {
  for (const [feature, make] of Object.entries(MAKE)) {
    if (lacks.has(feature as TreeFeature)) continue;
    const at = join(root, feature);
    await mkdir(at);
    await make(at);
    await touch("2013-01-01T00:00:00.987654321Z", at);
  }
  await chown(root, 31, 32);
  await chmod(root, 0o2771);
  await touch("2014-02-03T04:05:06.789012345Z", root);
}

/** Writes with a digest of their own: what they are is told by their seed. */
export function noise(sizeBytes: number, seed = "noise"): Buffer {
  const blocks: Buffer[] = [];
  let digest = createHash("sha512").update(seed).digest();
  for (let bytes = 0; bytes < sizeBytes; bytes += digest.length) {
    blocks.push(digest);
    digest = createHash("sha512").update(digest).digest();
  }
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

function setAttribute(name: string, value: string, path: string): Promise<unknown> {
  return run("setfattr", ["--no-dereference", "-n", name, "-v", value, path]);
}

function touch(time: string, path: string): Promise<unknown> {
  return run("touch", ["--no-dereference", "--date", time, path]);
}

/** A socket that nobody listens on. By a descriptor: paths of sockets end at 107 bytes. */
async function makeSocket(directory: string, name: string): Promise<void> {
  const handle = await open(directory);
  const server = createServer();
  try {
    const there = Promise.withResolvers<void>();
    server.once("error", there.reject);
    server.listen(`/proc/self/fd/${handle.fd}/bound`, there.resolve);
    await there.promise;
    // Under another name, so that closing the server leaves it.
    await rename(join(directory, "bound"), join(directory, name));
  } finally {
    await new Promise((resolve) => server.close(resolve));
    await handle.close();
  }
}

/** A file's SHA-256, in hex. */
export async function digestOf(path: Buffer): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}
