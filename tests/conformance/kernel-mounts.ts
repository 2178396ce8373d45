import { expect } from "vitest";
import { bind, type Check, fails, type KernelGiven } from "./kernel-given.ts";

/** Directories `source` with a file in it, and `target`, empty. */
async function sourceAndTarget({ files, plain }: KernelGiven): Promise<[string, string]> {
  await files.makeDirectory(`${plain}/source`, { mode: 0o755 });
  await files.makeDirectory(`${plain}/target`, { mode: 0o755 });
  await files.writeText(`${plain}/source/file`, "text");
  return [`${plain}/source`, `${plain}/target`];
}

/** Sentences 3 to 6 of `Kernel`. */
export function kernelMounts(check: Check): void {
  check("3 binds a directory", async (given) => {
    const { kernel, files } = given;
    const [source, target] = await sourceAndTarget(given);
    await kernel.mount(bind(source, target));
    expect(await files.readText(`${target}/file`)).toBe("text");
    await files.writeText(`${target}/new`, "new");
    expect(await files.readText(`${source}/new`)).toBe("new");
  });

  check("3 binds a file", async (given) => {
    const { kernel, files } = given;
    const [source, target] = await sourceAndTarget(given);
    await files.writeText(`${target}/over`, "");
    await kernel.mount(bind(`${source}/file`, `${target}/over`));
    expect(await files.readText(`${target}/over`)).toBe("text");
  });

  check("3 a bind can be read-only, and its source stays writable", async (given) => {
    const { kernel, files } = given;
    const [source, target] = await sourceAndTarget(given);
    await kernel.mount(bind(source, target, "ro", "nosuid", "nodev"));
    await fails(files.writeText(`${target}/file`, "new"), "failed_precondition", target);
    await files.writeText(`${source}/file`, "new");
    expect(await files.readText(`${target}/file`)).toBe("new");
    const entry = (await kernel.mountTable()).find(({ mountPoint }) => mountPoint === target);
    expect(entry?.options).toEqual(expect.arrayContaining(["ro", "nosuid", "nodev"]));
  });

  check("3 a bind keeps the restrictions of its source", async (given) => {
    const { kernel, files, plain } = given;
    const [source, target] = await sourceAndTarget(given);
    await files.makeDirectory(`${plain}/second`, { mode: 0o755 });
    await kernel.mount(bind(source, target, "nosuid", "noexec"));
    await kernel.mount(bind(target, `${plain}/second`, "ro"));
    const table = await kernel.mountTable();
    const entry = table.find(({ mountPoint }) => mountPoint === `${plain}/second`);
    expect(entry?.options).toEqual(expect.arrayContaining(["ro", "nosuid", "noexec"]));
  });

  check("3 rbind takes along what is mounted below, bind does not", async (given) => {
    const { kernel, files, root } = given;
    const [source, target] = await sourceAndTarget(given);
    await files.makeDirectory(`${source}/below`, { mode: 0o755 });
    await files.writeText(`${root}/inner`, "inner");
    await kernel.mount(bind(root, `${source}/below`));
    await kernel.mount(bind(source, target));
    expect(await files.readText(`${target}/below/inner`)).toBeUndefined();
    await kernel.unmount(target);
    await kernel.mount(bind(source, target, "rbind"));
    expect(await files.readText(`${target}/below/inner`)).toBe("inner");
    await kernel.unmount(`${target}/below`);
    await kernel.unmount(target);
    await kernel.mount(bind(source, target, "rbind", "ro"));
    for (const path of [`${target}/file`, `${target}/below/inner`]) {
      await fails(files.writeText(path, "new"), "failed_precondition", path);
    }
  });

  check("3 mounts over a mount, and 4 takes the topmost off first", async (given) => {
    const { kernel, files, root } = given;
    const [source, target] = await sourceAndTarget(given);
    await files.writeText(`${root}/file`, "upper");
    await kernel.mount(bind(source, target));
    await kernel.mount(bind(root, target));
    expect(await files.readText(`${target}/file`)).toBe("upper");
    await kernel.unmount(target);
    expect(await files.readText(`${target}/file`)).toBe("text");
    await kernel.unmount(target);
    expect(await files.readText(`${target}/file`)).toBeUndefined();
  });

  check("3 mounts a file system of a device, with options for both", async (given) => {
    const { kernel, files, plain, image } = given;
    await files.makeDirectory(`${plain}/target`, { mode: 0o755 });
    const source = await kernel.attachLoop(await image());
    const target = `${plain}/target`;
    await kernel.mount({ type: "btrfs", source, target, options: ["noatime", "compress=zstd:3"] });
    await files.writeText(`${target}/file`, "text");
    const entry = (await kernel.mountTable()).find(({ mountPoint }) => mountPoint === target);
    expect(entry).toMatchObject({ type: "btrfs", source, root: "/", deleted: false });
    expect(entry?.options).toEqual(expect.arrayContaining(["rw", "noatime"]));
    expect(entry?.superOptions).toContain("compress=zstd:3");
    await kernel.unmount(target);
    expect(await files.list(target)).toEqual([]);
  });

  check("3 says what is missing, and mounts nothing", async (given) => {
    const { kernel, plain } = given;
    const [source, target] = await sourceAndTarget(given);
    await fails(kernel.mount(bind(`${plain}/none`, target)), "not_found", `${plain}/none`);
    await fails(kernel.mount(bind(source, `${plain}/none`)), "not_found", `${plain}/none`);
    const odd = { type: "lagan-none", source: "none", target, options: [] };
    await fails(kernel.mount(odd), "unimplemented", target);
    await expect(kernel.mount(bind(`${source}/file`, target))).rejects.toThrow(target);
    expect(await mountPoints(given)).toEqual([]);
  });

  check("4 unmounts only what is mounted", async (given) => {
    const { kernel, plain } = given;
    const [source, target] = await sourceAndTarget(given);
    await fails(kernel.unmount(target), "not_found", target);
    await fails(kernel.unmount(`${target}/none`), "not_found", target);
    await kernel.mount(bind(source, target));
    await fails(kernel.unmount(`${target}/file`), "not_found", target);
    await kernel.unmount(target);
    await fails(kernel.unmount(target), "not_found", target);
    await fails(kernel.unmount(plain), "not_found", plain);
  });

  check("4 refuses what is in use", async (given) => {
    const { kernel, files, hold } = given;
    const [source, target] = await sourceAndTarget(given);
    await kernel.mount(bind(source, target));
    const release = await hold(`${target}/file`);
    await fails(kernel.unmount(target), "failed_precondition", target);
    expect(await files.readText(`${target}/file`)).toBe("text");
    await release();
    await kernel.unmount(target);
    expect(await mountPoints(given)).toEqual([]);
  });

  check("5 tells the mounts in order, with odd names as they are", async (given) => {
    const { kernel, files, plain } = given;
    const [source] = await sourceAndTarget(given);
    const targets = ["b c", "a\tb", "x\\040y", "ü#", "a\nb"].map((name) => `${plain}/${name}`);
    for (const target of targets) {
      await files.makeDirectory(target, { mode: 0o755 });
      await kernel.mount(bind(source, target));
    }
    expect(await mountPoints(given)).toEqual(targets);
    const entries = await kernel.mountTable();
    const stat = entries.find(({ mountPoint }) => mountPoint === targets[0]);
    expect(stat?.root.endsWith("/source")).toBe(true);
    expect(new Set(entries.map(({ id }) => id)).size).toBe(entries.length);
  });

  check("5 tells a bind whose source was removed", async (given) => {
    const { kernel, files } = given;
    const [source, target] = await sourceAndTarget(given);
    await kernel.mount(bind(source, target));
    await files.remove(`${source}/file`);
    await files.remove(source);
    const entry = (await kernel.mountTable()).find(({ mountPoint }) => mountPoint === target);
    expect(entry).toMatchObject({ deleted: true, root: expect.stringMatching(/\/source$/) });
  });

  check("6 tells every namespace once, and which is our own", async (given) => {
    const { kernel } = given;
    const [source, target] = await sourceAndTarget(given);
    await kernel.mount(bind(source, target));
    const namespaces = await kernel.mountNamespaces();
    const own = namespaces.filter((namespace) => namespace.own);
    expect(own).toHaveLength(1);
    const points = own[0]?.entries.map(({ mountPoint }) => mountPoint);
    expect(points).toContain(target);
    expect(own[0]?.command).not.toBe("");
    const pids = namespaces.map(({ pid }) => pid);
    expect(new Set(pids).size).toBe(pids.length);
  });

  check("6 tells of one place only the mounts that show it or something in it", async (given) => {
    const { kernel, files, root, plain } = given;
    const [, target] = await sourceAndTarget(given);
    const [wanted, beside] = [`${root}/a b`, `${root}/a bc`];
    for (const path of [wanted, `${wanted}/below`, beside]) {
      await files.makeDirectory(path, { mode: 0o755 });
    }
    await files.makeDirectory(`${plain}/second`, { mode: 0o755 });
    await files.makeDirectory(`${plain}/third`, { mode: 0o755 });
    await kernel.mount(bind(wanted, target));
    await kernel.mount(bind(beside, `${plain}/second`));
    await kernel.mount(bind(`${wanted}/below`, `${plain}/third`));
    const shown = await kernel.mountOf(target);
    expect(shown?.root).toMatch(/\/a b$/);
    const place = { device: shown?.device ?? "", root: shown?.root ?? "" };
    const own = (await kernel.mountNamespaces(place)).find((namespace) => namespace.own);
    const table = await kernel.mountTable();
    const points = [target, `${plain}/third`];
    expect(own?.entries).toEqual(table.filter(({ mountPoint }) => points.includes(mountPoint)));
    await files.remove(`${wanted}/below`);
    const after = (await kernel.mountNamespaces(place)).find((namespace) => namespace.own);
    expect(after?.entries.map(({ deleted }) => deleted)).toEqual([false, true]);
  });

  check(
    "26 tells the mount that a path is in as the table does, the topmost one",
    async (given) => {
      const { kernel, files, root, plain } = given;
      const [source, target] = await sourceAndTarget(given);
      const inTable = async (path: string) =>
        (await kernel.mountTable()).findLast(({ mountPoint }) => mountPoint === path);
      const home = await kernel.mountOf(target);
      expect(home?.mountPoint).not.toBe(target);
      expect(home).toEqual(await inTable(home?.mountPoint ?? ""));
      await kernel.mount(bind(source, target, "ro", "nosuid", "noatime"));
      expect(await kernel.mountOf(target)).toEqual(await inTable(target));
      expect(await kernel.mountOf(`${target}/file`)).toEqual(await inTable(target));
      await kernel.mount(bind(root, target));
      expect(await kernel.mountOf(target)).toEqual(await inTable(target));
      await kernel.unmount(target);
      expect((await kernel.mountOf(target))?.options).toContain("nosuid");
      await kernel.unmount(target);
      expect(await kernel.mountOf(target)).toEqual(home);
      await files.makeDirectory(`${plain}/a b\\040`, { mode: 0o755 });
      await kernel.mount(bind(source, `${plain}/a b\\040`));
      const odd = await kernel.mountOf(`${plain}/a b\\040`);
      expect(odd).toEqual(await inTable(`${plain}/a b\\040`));
    },
  );

  check("26 tells of a removed source, and nothing of what is absent", async (given) => {
    const { kernel, files } = given;
    const [source, target] = await sourceAndTarget(given);
    await kernel.mount(bind(source, target));
    await files.remove(`${source}/file`);
    await files.remove(source);
    expect(await kernel.mountOf(target)).toMatchObject({ mountPoint: target, deleted: true });
    expect(await kernel.mountOf(source)).toBeUndefined();
    expect(await kernel.mountOf(`${source}/in/it`)).toBeUndefined();
  });
}

/** Mount points below `plain`, in the order of the table. */
async function mountPoints({ kernel, plain }: KernelGiven): Promise<readonly string[]> {
  const points = (await kernel.mountTable()).map(({ mountPoint }) => mountPoint);
  return points.filter((path) => path.startsWith(`${plain}/`));
}
