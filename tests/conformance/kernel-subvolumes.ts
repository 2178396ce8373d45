import { expect } from "vitest";
import { bind, type Check, fails } from "./kernel-given.ts";

/** Sentences 12 to 17 and 21 of `Kernel`. */
export function kernelSubvolumes(check: Check): void {
  check("12 creates an empty subvolume", async ({ kernel, files, root, plain }) => {
    await kernel.createSubvolume(`${root}/ü v`);
    expect(await files.list(`${root}/ü v`)).toEqual([]);
    const info = await kernel.findSubvolume(`${root}/ü v`);
    expect(info).toEqual({ id: expect.any(Number), readOnly: false });
    expect(await files.stat(`${root}/ü v`)).toMatchObject({ kind: "directory", uid: 0, gid: 0 });
    await fails(kernel.createSubvolume(`${root}/ü v`), "already_exists", `${root}/ü v`);
    await files.makeDirectory(`${root}/d`, { mode: 0o755 });
    await fails(kernel.createSubvolume(`${root}/d`), "already_exists", `${root}/d`);
    await fails(kernel.createSubvolume(`${root}/none/v`), "not_found", `${root}/none/v`);
    await fails(kernel.createSubvolume(`${plain}/v`), "unimplemented", `${plain}/v`);
    expect(await files.list(plain)).toEqual([]);
  });

  check("13 a snapshot has the content of its instant", async ({ kernel, files, root }) => {
    await kernel.createSubvolume(`${root}/v`);
    await files.writeText(`${root}/v/file`, "old");
    await kernel.snapshotSubvolume(`${root}/v`, `${root}/s`, { readOnly: true });
    await kernel.snapshotSubvolume(`${root}/v`, `${root}/w`, { readOnly: false });
    await files.writeText(`${root}/v/file`, "new");
    expect(await files.readText(`${root}/s/file`)).toBe("old");
    await fails(files.writeText(`${root}/s/file`, "x"), "failed_precondition", `${root}/s/file`);
    await files.writeText(`${root}/w/file`, "other");
    expect(await files.readText(`${root}/v/file`)).toBe("new");
    const ids = await Promise.all(
      ["v", "s", "w"].map((at) => kernel.findSubvolume(`${root}/${at}`)),
    );
    expect(ids.map((info) => info?.readOnly)).toEqual([false, true, false]);
    expect(new Set(ids.map((info) => info?.id)).size).toBe(3);
  });

  check("13 a snapshot of a snapshot, and of a subvolume with one inside", async (given) => {
    const { kernel, files, root } = given;
    await kernel.createSubvolume(`${root}/v`);
    await kernel.createSubvolume(`${root}/v/inner`);
    await files.writeText(`${root}/v/inner/file`, "text");
    await kernel.snapshotSubvolume(`${root}/v`, `${root}/s`, { readOnly: true });
    await kernel.snapshotSubvolume(`${root}/s`, `${root}/t`, { readOnly: false });
    for (const name of ["s", "t"]) {
      expect(await files.list(`${root}/${name}/inner`)).toEqual([]);
      expect(await kernel.findSubvolume(`${root}/${name}/inner`)).toBeUndefined();
    }
    await files.writeText(`${root}/t/file`, "text");
  });

  check("13 refuses what cannot be a snapshot", async ({ kernel, files, root, plain }) => {
    await kernel.createSubvolume(`${root}/v`);
    await files.makeDirectory(`${root}/d`, { mode: 0o755 });
    const snapshot = (from: string, to: string) =>
      kernel.snapshotSubvolume(from, to, { readOnly: true });
    await fails(snapshot(`${root}/v`, `${root}/d`), "already_exists", `${root}/d`);
    await fails(snapshot(`${root}/d`, `${root}/s`), "invalid_argument", `${root}/d`);
    await fails(snapshot(`${root}/none`, `${root}/s`), "not_found", `${root}/none`);
    await fails(snapshot(`${root}/v`, `${root}/none/s`), "not_found", `${root}/none/s`);
    await fails(snapshot(`${root}/v`, `${plain}/s`), "unimplemented", `${plain}/s`);
    expect(await files.list(root)).toEqual(["d", "v"]);
    expect(await files.list(`${root}/d`)).toEqual([]);
  });

  check("14 removes a subvolume with all that is in it", async ({ kernel, files, root }) => {
    await kernel.createSubvolume(`${root}/v`);
    await files.ensureDirectory(`${root}/v/a/b`, { mode: 0o755 });
    await files.writeText(`${root}/v/a/file`, "text");
    await kernel.createSubvolume(`${root}/v/inner`);
    await kernel.createSubvolume(`${root}/v/a/b/deep`);
    await files.ensureDirectory(`${root}/v/a/b/deep/c`, { mode: 0o755 });
    await kernel.createSubvolume(`${root}/v/a/b/deep/c/deeper`);
    await kernel.setSubvolumeReadOnly(`${root}/v/a/b/deep/c/deeper`, true);
    await kernel.setSubvolumeReadOnly(`${root}/v/a/b/deep`, true);
    await kernel.snapshotSubvolume(`${root}/v`, `${root}/v/self`, { readOnly: true });
    await kernel.setSubvolumeReadOnly(`${root}/v`, true);
    await kernel.createSubvolume(`${root}/w`);
    await kernel.removeSubvolume(`${root}/v`);
    await kernel.removeSubvolume(`${root}/v`);
    await kernel.removeSubvolume(`${root}/none/v`);
    expect(await files.list(root)).toEqual(["w"]);
  });

  check("14 removes more nested subvolumes than one answer holds", async (given) => {
    const { kernel, files, root } = given;
    await kernel.createSubvolume(`${root}/v`);
    for (let index = 0; index < 300; index++) await kernel.createSubvolume(`${root}/v/${index}`);
    await kernel.removeSubvolume(`${root}/v`);
    expect(await files.list(root)).toEqual([]);
  });

  check("14 removes subvolumes only", async ({ kernel, files, root, plain }) => {
    await files.makeDirectory(`${root}/d`, { mode: 0o755 });
    await files.makeDirectory(`${plain}/d`, { mode: 0o755 });
    await files.writeText(`${root}/file`, "");
    for (const path of [`${root}/d`, `${plain}/d`, `${root}/file`]) {
      await fails(kernel.removeSubvolume(path), "invalid_argument", path);
    }
    expect(await files.list(root)).toEqual(["d", "file"]);
    expect(await files.list(plain)).toEqual(["d"]);
  });

  check("14 removes nothing that something is mounted in", async (given) => {
    const { kernel, files, root, plain } = given;
    await kernel.createSubvolume(`${root}/v`);
    await files.ensureDirectory(`${root}/v/a/mounted`, { mode: 0o755 });
    await files.writeText(`${plain}/file`, "text");
    await kernel.mount(bind(plain, `${root}/v/a/mounted`));
    await fails(kernel.removeSubvolume(`${root}/v`), "failed_precondition", `${root}/v`);
    expect(await files.readText(`${root}/v/a/mounted/file`)).toBe("text");
    await kernel.unmount(`${root}/v/a/mounted`);
    await files.makeDirectory(`${root}/elsewhere`, { mode: 0o755 });
    await kernel.mount(bind(`${root}/v`, `${root}/elsewhere`));
    const mounted = kernel.removeSubvolume(`${root}/elsewhere`);
    await fails(mounted, "failed_precondition", `${root}/elsewhere`);
    await kernel.unmount(`${root}/elsewhere`);
    expect(await files.list(`${root}/v`)).toEqual(["a"]);
    await kernel.removeSubvolume(`${root}/v`);
    expect(await files.list(root)).toEqual(["elsewhere"]);
  });

  check("15 tells a subvolume from what is none", async ({ kernel, files, root, plain }) => {
    await kernel.createSubvolume(`${root}/v`);
    await files.makeDirectory(`${root}/v/d`, { mode: 0o755 });
    await files.writeText(`${root}/v/file`, "");
    const first = await kernel.findSubvolume(`${root}/v`);
    await kernel.createSubvolume(`${root}/w`);
    expect((await kernel.findSubvolume(`${root}/w`))?.id).not.toBe(first?.id);
    await files.rename(`${root}/v`, `${root}/moved`);
    expect(await kernel.findSubvolume(`${root}/moved`)).toEqual(first);
    const none = [`${root}/v`, `${root}/none/v`, `${root}/moved/d`, `${root}/moved/file`, plain];
    for (const path of [...none, `${root}/moved/file/x`]) {
      expect(await kernel.findSubvolume(path)).toBeUndefined();
    }
  });

  check("21 tells what has changed since a snapshot", async ({ kernel, files, root, plain }) => {
    await kernel.createSubvolume(`${root}/v`);
    await files.writeText(`${root}/v/file`, "text");
    const snapshot = (name: string) =>
      kernel.snapshotSubvolume(`${root}/v`, `${root}/${name}`, { readOnly: true });
    await snapshot("a");
    await kernel.commitSubvolumes(root);
    const changed = (since: string) => kernel.hasSubvolumeChanged(`${root}/v`, `${root}/${since}`);
    expect(await changed("a")).toBe(false);
    await kernel.setSubvolumeReadOnly(`${root}/a`, false);
    await kernel.setSubvolumeReadOnly(`${root}/a`, true);
    await files.writeText(`${root}/beside`, "text");
    await kernel.commitSubvolumes(root);
    expect(await changed("a")).toBe(false);
    await files.writeText(`${root}/v/file`, "newer");
    await kernel.commitSubvolumes(root);
    expect(await changed("a")).toBe(true);
    await snapshot("b");
    expect(await changed("b")).toBe(false);
    expect(await changed("a")).toBe(true);
    await kernel.snapshotSubvolume(`${root}/b`, `${root}/w`, { readOnly: false });
    // Of another one, whatever it holds.
    expect(await kernel.hasSubvolumeChanged(`${root}/w`, `${root}/b`)).toBe(true);
    await fails(changed("none"), "not_found", `${root}/none`);
    await fails(kernel.hasSubvolumeChanged(plain, `${root}/b`), "unimplemented", plain);
  });

  check("16 makes a subvolume read-only and writable", async ({ kernel, files, root }) => {
    await kernel.createSubvolume(`${root}/v`);
    for (const readOnly of [true, true, false, false]) {
      await kernel.setSubvolumeReadOnly(`${root}/v`, readOnly);
      expect((await kernel.findSubvolume(`${root}/v`))?.readOnly).toBe(readOnly);
      const writing = files.writeText(`${root}/v/file`, "text");
      if (readOnly) await fails(writing, "failed_precondition", `${root}/v/file`);
      else await writing;
    }
    await files.makeDirectory(`${root}/d`, { mode: 0o755 });
    const set = (path: string) => kernel.setSubvolumeReadOnly(path, true);
    await fails(set(`${root}/d`), "invalid_argument", `${root}/d`);
    await fails(set(`${root}/none`), "not_found", `${root}/none`);
  });

  check("17 what was committed outlives a power cut", async (given) => {
    const { kernel, root, subvolumesAfterPowerCut } = given;
    await kernel.createSubvolume(`${root}/removed`);
    await kernel.createSubvolume(`${root}/kept`);
    await kernel.commitSubvolumes(root);
    await kernel.removeSubvolume(`${root}/removed`);
    await kernel.snapshotSubvolume(`${root}/kept`, `${root}/snapshot`, { readOnly: false });
    await kernel.createSubvolume(`${root}/made`);
    await kernel.commitSubvolumes(`${root}/kept`);
    await kernel.createSubvolume(`${root}/late`);
    // "late" may be there or not: nobody promised.
    const names = (await subvolumesAfterPowerCut()).filter((name) => name !== "late");
    expect(names).toEqual(["kept", "made", "snapshot"]);
  });

  check("17 commits only where there are subvolumes", async ({ kernel, root, plain }) => {
    await fails(kernel.commitSubvolumes(plain), "unimplemented", plain);
    await fails(kernel.commitSubvolumes(`${root}/none`), "not_found", `${root}/none`);
  });
}
