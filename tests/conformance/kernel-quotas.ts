import { expect } from "vitest";
import { type Check, fails, MIB } from "./kernel-given.ts";

/** Sentences 18 to 20 of `Kernel`. */
export function kernelQuotas(check: Check): void {
  check("18 turns accounting on, for what is there and what comes", async (given) => {
    const { kernel, root, plain, write } = given;
    await kernel.createSubvolume(`${root}/v`);
    await write(`${root}/v/file`, 2 * MIB);
    expect(await kernel.subvolumeUsage(`${root}/v`)).toBeUndefined();
    await kernel.enableQuotas(root);
    const usage = await kernel.subvolumeUsage(`${root}/v`);
    expect(usage?.referencedBytes).toBeGreaterThanOrEqual(2 * MIB);
    expect(usage?.limitBytes).toBeNull();
    await kernel.enableQuotas(`${root}/v`);
    await kernel.createSubvolume(`${root}/w`);
    expect((await kernel.subvolumeUsage(`${root}/w`))?.limitBytes).toBeNull();
    await fails(kernel.enableQuotas(plain), "unimplemented", plain);
    await fails(kernel.enableQuotas(`${root}/none`), "not_found", `${root}/none`);
  });

  check("19 limits what a subvolume may have", async ({ kernel, files, root }) => {
    const path = `${root}/v`;
    const text = "x".repeat(4 * MIB);
    await kernel.createSubvolume(path);
    await kernel.enableQuotas(root);
    await kernel.limitSubvolume(path, 2 * MIB);
    expect((await kernel.subvolumeUsage(path))?.limitBytes).toBe(2 * MIB);
    await fails(files.writeText(`${path}/file`, text), "resource_exhausted", `${path}/file`);
    await files.writeText(`${root}/elsewhere`, text);
    await kernel.limitSubvolume(path, 20 * MIB);
    await files.writeText(`${path}/file`, text);
    await kernel.limitSubvolume(path, null);
    expect((await kernel.subvolumeUsage(path))?.limitBytes).toBeNull();
    await kernel.limitSubvolume(path, null);
    await files.writeText(`${path}/more`, text);
  });

  check("13 a snapshot has the limit of its source", async ({ kernel, root }) => {
    await kernel.createSubvolume(`${root}/v`);
    await kernel.enableQuotas(root);
    await kernel.limitSubvolume(`${root}/v`, 2 * MIB);
    await kernel.snapshotSubvolume(`${root}/v`, `${root}/s`, { readOnly: false });
    expect((await kernel.subvolumeUsage(`${root}/s`))?.limitBytes).toBe(2 * MIB);
    await kernel.limitSubvolume(`${root}/s`, null);
    expect((await kernel.subvolumeUsage(`${root}/v`))?.limitBytes).toBe(2 * MIB);
  });

  check("19 refuses a limit without quotas, or of what is no subvolume", async (given) => {
    const { kernel, files, root } = given;
    await kernel.createSubvolume(`${root}/v`);
    await fails(kernel.limitSubvolume(`${root}/v`, MIB), "failed_precondition", `${root}/v`);
    await kernel.enableQuotas(root);
    await files.makeDirectory(`${root}/d`, { mode: 0o755 });
    await fails(kernel.limitSubvolume(`${root}/d`, MIB), "invalid_argument", `${root}/d`);
    await fails(kernel.limitSubvolume(`${root}/none`, MIB), "not_found", `${root}/none`);
  });

  check("20 tells shared bytes from exclusive ones", async ({ kernel, files, root, write }) => {
    await kernel.createSubvolume(`${root}/v`);
    await kernel.enableQuotas(root);
    await write(`${root}/v/file`, 4 * MIB);
    await kernel.commitSubvolumes(root);
    const alone = await kernel.subvolumeUsage(`${root}/v`);
    expect(alone?.exclusiveBytes).toBeGreaterThanOrEqual(4 * MIB);
    expect(alone?.referencedBytes).toBeGreaterThanOrEqual(4 * MIB);
    await kernel.snapshotSubvolume(`${root}/v`, `${root}/s`, { readOnly: true });
    await kernel.commitSubvolumes(root);
    for (const name of ["v", "s"]) {
      const usage = await kernel.subvolumeUsage(`${root}/${name}`);
      expect(usage?.referencedBytes).toBeGreaterThanOrEqual(4 * MIB);
      expect(usage?.exclusiveBytes).toBeLessThan(MIB);
    }
    await files.remove(`${root}/v/file`);
    await kernel.commitSubvolumes(root);
    expect((await kernel.subvolumeUsage(`${root}/v`))?.referencedBytes).toBeLessThan(MIB);
    expect((await kernel.subvolumeUsage(`${root}/s`))?.exclusiveBytes).toBeGreaterThan(3 * MIB);
  });

  check("20 has no accounting of what is no subvolume", async ({ kernel, files, root, plain }) => {
    await files.makeDirectory(`${root}/d`, { mode: 0o755 });
    await fails(kernel.subvolumeUsage(`${root}/d`), "invalid_argument", `${root}/d`);
    await fails(kernel.subvolumeUsage(`${root}/none`), "not_found", `${root}/none`);
    await fails(kernel.subvolumeUsage(plain), "unimplemented", plain);
  });
}
