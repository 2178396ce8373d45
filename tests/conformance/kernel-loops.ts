import { expect } from "vitest";
import { type Check, fails, MIB } from "./kernel-given.ts";

/** Sentences 7 and 8 of `Kernel`. */
export function kernelFileSystems(check: Check): void {
  check("7 tells type and room of a file system", async ({ kernel, root, plain, plainType }) => {
    for (const [path, type] of [
      [root, "btrfs"],
      [plain, plainType],
    ] as const) {
      const stat = await kernel.statFileSystem(path);
      expect(stat.type).toBe(type);
      expect(stat.totalBytes).toBeGreaterThan(0);
      expect(stat.availableBytes).toBeGreaterThan(0);
      expect(stat.availableBytes).toBeLessThanOrEqual(stat.totalBytes);
      expect(stat.availableInodes).toBeLessThanOrEqual(stat.totalInodes);
    }
    await fails(kernel.statFileSystem(`${root}/none`), "not_found", `${root}/none`);
  });

  check("8 clones a file, and both go their own ways", async ({ kernel, files, root, write }) => {
    await files.writeText(`${root}/a`, "text");
    await kernel.cloneFile(`${root}/a`, `${root}/b`);
    await files.writeText(`${root}/a`, "changed");
    expect(await files.readText(`${root}/b`)).toBe("text");
    await write(`${root}/large`, 4 * MIB);
    await kernel.cloneFile(`${root}/large`, `${root}/clone`);
    expect(await files.stat(`${root}/clone`)).toMatchObject({
      kind: "file",
      sizeBytes: 4 * MIB,
    });
  });

  check("25 tells the bytes that only one file holds", async (given) => {
    const { kernel, files, root, plain, write } = given;
    await write(`${root}/a`, 4 * MIB);
    await expect.poll(() => kernel.exclusiveBytes(`${root}/a`)).toBe(4 * MIB);
    await kernel.cloneFile(`${root}/a`, `${root}/b`);
    await expect.poll(() => kernel.exclusiveBytes(`${root}/a`)).toBe(0);
    await expect.poll(() => kernel.exclusiveBytes(`${root}/b`)).toBe(0);
    await files.remove(`${root}/a`);
    await expect.poll(() => kernel.exclusiveBytes(`${root}/b`), { timeout: 40_000 }).toBe(4 * MIB);
    await write(`${plain}/a`, MIB / 2);
    expect(await kernel.exclusiveBytes(`${plain}/a`)).toBe(MIB / 2);
    await fails(kernel.exclusiveBytes(`${root}/none`), "not_found", `${root}/none`);
    await fails(kernel.exclusiveBytes(root), "invalid_argument", root);
  });

  check("8 clones to nothing that is there, and from nothing that is not", async (given) => {
    const { kernel, files, root, plain } = given;
    await files.writeText(`${root}/a`, "a");
    await files.writeText(`${root}/b`, "b");
    const clone = (from: string, to: string) =>
      kernel.cloneFile(`${root}/${from}`, `${root}/${to}`);
    await fails(clone("a", "b"), "already_exists", `${root}/b`);
    expect(await files.readText(`${root}/b`)).toBe("b");
    await fails(clone("none", "c"), "not_found", `${root}/none`);
    await fails(clone("a", "none/c"), "not_found", `${root}/none/c`);
    await files.writeText(`${plain}/a`, "a");
    await fails(kernel.cloneFile(`${plain}/a`, `${plain}/b`), "unimplemented", plain);
    await fails(kernel.cloneFile(`${root}/a`, `${plain}/b`), "unimplemented", plain);
    expect(await files.list(plain)).toEqual(["a"]);
    expect(await files.list(root)).toEqual(["a", "b"]);
  });
}

/** Sentences 9 to 11 of `Kernel`. */
export function kernelLoops(check: Check): void {
  check("9 attaches, 10 finds and 11 detaches a loop device", async (given) => {
    const { kernel, files, image } = given;
    const file = await image();
    expect(await kernel.findLoops(file)).toEqual([]);
    const device = await kernel.attachLoop(file);
    expect(device).toMatch(/^\/dev\/loop\d+$/);
    expect(await kernel.findLoops(file)).toEqual([device]);
    await files.rename(file, `${file}-renamed`);
    expect(await kernel.findLoops(`${file}-renamed`)).toEqual([device]);
    await kernel.detachLoop(device);
    expect(await kernel.findLoops(`${file}-renamed`)).toEqual([]);
    await kernel.detachLoop(device);
  });

  check("26 attaches a file once as the device of others, which stays", async (given) => {
    const { kernel, image } = given;
    const file = await image();
    const device = await kernel.attachDevice(file, { readOnly: false });
    expect(await kernel.attachDevice(file, { readOnly: false })).toBe(device);
    expect(await kernel.findLoops(file)).toEqual([device]);
    await kernel.detachLoop(device);
    expect(await kernel.findLoops(file)).toEqual([]);
  });

  check("9 attaches each time to another device; 10 finds all, lowest first", async (given) => {
    const { kernel, image } = given;
    const file = await image();
    const devices = await Promise.all(Array.from({ length: 4 }, () => kernel.attachLoop(file)));
    expect(new Set(devices).size).toBe(4);
    const number = (device: string): number => Number(device.replace(/\D+/, ""));
    const sorted = devices.toSorted((a, b) => number(a) - number(b));
    expect(await kernel.findLoops(file)).toEqual(sorted);
    for (const device of devices) await kernel.detachLoop(device);
    expect(await kernel.findLoops(file)).toEqual([]);
  });

  check("9 detaches itself after the last unmount", async (given) => {
    const { kernel, files, plain, image } = given;
    const [file, target, second] = [await image(), `${plain}/target`, `${plain}/second`];
    const source = await kernel.attachLoop(file);
    for (const path of [target, second]) {
      await files.makeDirectory(path, { mode: 0o755 });
      await kernel.mount({ type: "btrfs", source, target: path, options: [] });
    }
    await kernel.unmount(target);
    expect(await kernel.findLoops(file)).toEqual([source]);
    await kernel.unmount(second);
    expect(await kernel.findLoops(file)).toEqual([]);
  });

  check("3 mounts what is in a file, by one device for all of its mounts", async (given) => {
    const { kernel, files, plain, image } = given;
    const [source, target, second] = [await image(), `${plain}/target`, `${plain}/second`];
    for (const path of [target, second]) {
      await files.makeDirectory(path, { mode: 0o755 });
      await kernel.mount({ type: "btrfs", source, target: path, options: [] });
    }
    const devices = await kernel.findLoops(source);
    expect(devices).toHaveLength(1);
    const table = await kernel.mountTable();
    expect(table.find(({ mountPoint }) => mountPoint === target)?.source).toBe(devices[0]);
    await files.writeText(`${target}/file`, "text");
    expect(await files.readText(`${second}/file`)).toBe("text");
    await kernel.unmount(target);
    await kernel.unmount(second);
    expect(await kernel.findLoops(source)).toEqual([]);
  });

  check("3 a file with no file system in it is not left attached", async (given) => {
    const { kernel, files, plain } = given;
    const [source, target] = [`${plain}/text`, `${plain}/target`];
    await files.writeText(source, "text");
    await files.makeDirectory(target, { mode: 0o755 });
    const mount = kernel.mount({ type: "btrfs", source, target, options: [] });
    await expect(mount).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await kernel.findLoops(source)).toEqual([]);
  });

  check("11 a device in use is detached after its use", async (given) => {
    const { kernel, files, plain, image } = given;
    const [file, target] = [await image(), `${plain}/target`];
    const source = await kernel.attachLoop(file);
    await files.makeDirectory(target, { mode: 0o755 });
    await kernel.mount({ type: "btrfs", source, target, options: [] });
    await kernel.detachLoop(source);
    await files.writeText(`${target}/file`, "text");
    expect(await kernel.findLoops(file)).toEqual([source]);
    await kernel.unmount(target);
    expect(await kernel.findLoops(file)).toEqual([]);
  });

  check("9, 10, 11 of what is absent or no file", async ({ kernel, plain, root }) => {
    await fails(kernel.attachLoop(`${plain}/none`), "not_found", `${plain}/none`);
    await fails(kernel.attachLoop(root), "invalid_argument", root);
    await fails(kernel.findLoops(`${plain}/none`), "not_found", `${plain}/none`);
    await kernel.detachLoop("/dev/loop987654");
  });
}
