import { chmod, chown, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mustRun } from "./command.ts";
import type { Machine } from "./machine.ts";

/** Where busybox-static keeps its one file. */
const BUSYBOX = "/bin/busybox";

/** Owner and permission bits of `/data` in the image `seeded`. */
export const SEEDED_OWNER = { uid: 1234, gid: 5678, mode: 0o2750 } as const;
/** Content of `/data/file` in the image `seeded`. */
export const SEEDED_TEXT = "from the image\n";

/**
 * Makes two images without a network. `busybox`: a shell and its commands, and a user 1000. `seeded`: the same with
 * `VOLUME /data`, where `/data` belongs to {@link SEEDED_OWNER} and has a file, a directory, links and a
 * set-group-id bit.
 */
export async function loadBusybox(machine: Machine): Promise<void> {
  const root = await busyboxRoot(machine.path("image"));
  await machine.engine.importImage("busybox", root);
  await seed(join(root, "data"));
  await machine.engine.importImage("seeded", root, ["VOLUME /data"]);
}

/** A root file system with busybox; resolves to its path. */
export async function busyboxRoot(root: string): Promise<string> {
  for (const directory of ["bin", "etc", "tmp", "root", "proc", "sys", "dev"]) {
    await mkdir(join(root, directory), { recursive: true });
  }
  await chmod(join(root, "tmp"), 0o1777);
  await copyFile(BUSYBOX, join(root, "bin/busybox"));
  const applets = (await mustRun([BUSYBOX, "--list"])).split("\n");
  for (const applet of applets) {
    if (applet !== "busybox") await symlink("busybox", join(root, "bin", applet));
  }
  await writeFile(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
  );
  await writeFile(join(root, "etc/group"), "root:x:0:\nuser:x:1000:\n");
  return root;
}

/** Fills a directory as `/data` of the image `seeded`. */
export async function seed(data: string): Promise<void> {
  await mkdir(join(data, "directory"), { recursive: true });
  await writeFile(join(data, "file"), SEEDED_TEXT);
  await writeFile(join(data, "directory/inner"), "inner\n");
  await symlink("file", join(data, "link"));
  const { uid, gid, mode } = SEEDED_OWNER;
  await chown(join(data, "file"), uid, gid);
  await chown(data, uid, gid);
  // After chown, which takes the set-group-id bit away.
  await chmod(data, mode);
}
