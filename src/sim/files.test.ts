import { expect, it } from "vitest";
import { SimMachine } from "./machine.ts";

const signal = new AbortController().signal;

it("reads and counts texts in UTF-8", async () => {
  const { files } = new SimMachine({ seed: 1 }).start();
  await files.writeText("/a", "aä€😀");
  expect(await files.readText("/a")).toBe("aä€😀");
  expect(await files.stat("/a")).toMatchObject({ sizeBytes: 1 + 2 + 3 + 4, allocatedBytes: 4096 });
});

it("leaves the old text when there is no room for the new one", async () => {
  const machine = new SimMachine({ seed: 1, rootBytes: 8192 });
  const { files } = machine.start();
  await files.writeText("/a", "old");
  await expect(files.writeText("/a", "x".repeat(8192))).rejects.toMatchObject({
    code: "resource_exhausted",
  });
  expect(await files.list("/")).toEqual(["a", "dev", "etc", "run", "tmp", "var"]);
  expect(machine.read("/a")).toBe("old");
});

it("removes a tree directory by directory: an abort leaves a part", async () => {
  const machine = new SimMachine({ seed: 1 });
  const { files } = machine.start();
  for (const name of ["a", "b"]) {
    machine.init.makeDirectories(`/top/${name}`);
    machine.write(`/top/${name}/data`, "x");
  }
  const stop = new AbortController();
  const removed = files.removeTree("/top", stop.signal);
  removed.catch(() => {});
  while (machine.read("/top/a/data") !== undefined) await null;
  stop.abort("enough");
  await expect(removed).rejects.toBe("enough");
  expect(machine.read("/top/b/data")).toBe("x");
  await files.removeTree("/top", signal);
  expect(await files.stat("/top")).toBeUndefined();
});

it("follows links on the way, never in the last component", async () => {
  const machine = new SimMachine({ seed: 1 });
  const { files } = machine.start();
  machine.init.makeDirectories("/real/inner");
  machine.init.link("../real", "/var/link");
  machine.write("/real/x", "x");
  expect(await files.readText("/var/link/inner/../x")).toBe("x");
  expect(await files.stat("/var/link")).toMatchObject({ kind: "symlink" });
  await expect(files.list("/var/link")).rejects.toMatchObject({ code: "invalid_argument" });
  await files.removeTree("/var/link", signal);
  expect(machine.read("/real/x")).toBe("x");
});
