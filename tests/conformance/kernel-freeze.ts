import { expect } from "vitest";
import { type Check, fails, type KernelGiven } from "./kernel-given.ts";

/** Sentences 21 to 24 of `Kernel`. */
export function kernelFreeze(check: Check): void {
  check("21 clones while another file system is frozen, whose writers go on", async (given) => {
    const { kernel, files, root } = given;
    const frozen = await mounted(given);
    await files.writeText(`${root}/a`, "text");
    expect(
      await kernel.cloneFrozen([{ frozen, source: `${root}/a`, target: `${root}/b` }]),
    ).toBeGreaterThanOrEqual(0);
    await files.writeText(`${root}/a`, "changed");
    expect(await files.readText(`${root}/b`)).toBe("text");
    await files.writeText(`${frozen}/file`, "written");
    await kernel.unmount(frozen);
  });

  check("21 clones several at once, or none of them", async (given) => {
    const { kernel, files, root } = given;
    const frozen = await mounted(given);
    await files.writeText(`${root}/a`, "one");
    await files.writeText(`${root}/b`, "two");
    const clone = (second: string) =>
      kernel.cloneFrozen([
        { frozen, source: `${root}/a`, target: `${root}/c` },
        { frozen: null, source: `${root}/${second}`, target: `${root}/d` },
      ]);
    await fails(clone("none"), "not_found", `${root}/none`);
    expect(await files.list(root)).toEqual(["a", "b"]);
    await clone("b");
    expect(await files.readText(`${root}/c`)).toBe("one");
    expect(await files.readText(`${root}/d`)).toBe("two");
    await files.writeText(`${frozen}/file`, "written");
    await kernel.unmount(frozen);
  });

  check("22 thaws also when there is nothing to clone, or nothing to clone to", async (given) => {
    const { kernel, files, root, plain } = given;
    const frozen = await mounted(given);
    const clone = (source: string, target: string) =>
      kernel.cloneFrozen([{ frozen, source, target }]);
    await files.writeText(`${root}/a`, "a");
    await files.writeText(`${root}/b`, "b");
    await files.writeText(`${plain}/a`, "a");
    await fails(clone(`${root}/a`, `${root}/b`), "already_exists", `${root}/b`);
    await files.writeText(`${frozen}/1`, "written");
    await fails(clone(`${root}/none`, `${root}/c`), "not_found", `${root}/none`);
    await files.writeText(`${frozen}/2`, "written");
    await fails(clone(`${plain}/a`, `${plain}/b`), "unimplemented", plain);
    await files.writeText(`${frozen}/3`, "written");
    expect(await files.list(root)).toEqual(["a", "b"]);
    expect(await files.readText(`${root}/b`)).toBe("b");
  });

  check("23 never freezes what it writes to", async (given) => {
    const { kernel, files, root } = given;
    await files.writeText(`${root}/a`, "a");
    const clone = kernel.cloneFrozen([{ frozen: root, source: `${root}/a`, target: `${root}/b` }]);
    await fails(clone, "invalid_argument", `${root}/b`);
    await files.writeText(`${root}/a`, "written");
    expect(await files.list(root)).toEqual(["a"]);
  });

  check("23 leaves what somebody else froze, 24 thaws it when asked", async (given) => {
    const { kernel, files, root, freeze } = given;
    const frozen = await mounted(given);
    await files.writeText(`${root}/a`, "a");
    await freeze(frozen);
    const clone = kernel.cloneFrozen([{ frozen, source: `${root}/a`, target: `${root}/b` }]);
    await fails(clone, "failed_precondition", frozen);
    await kernel.thaw(frozen);
    await kernel.thaw(frozen);
    await files.writeText(`${frozen}/file`, "written");
    await fails(kernel.thaw(`${frozen}/none`), "not_found", `${frozen}/none`);
    expect(await files.list(root)).toEqual(["a"]);
  });
}

/** A file system of the test's own, mounted. */
async function mounted({ kernel, files, plain, image }: KernelGiven): Promise<string> {
  const target = `${plain}/frozen`;
  await files.makeDirectory(target, { mode: 0o755 });
  const source = await kernel.attachLoop(await image());
  await kernel.mount({ type: "btrfs", source, target, options: [] });
  return target;
}
