import { expect, it } from "vitest";
import { SimMachine } from "../../sim/machine.ts";
import { lookForPool } from "./look.ts";

const LIVE = new AbortController().signal;

it.each([
  ["ext4", false],
  ["xfs", true],
  ["btrfs", true],
] as const)("sees %s, and leaves nothing", async (rootType, reflink) => {
  const machine = new SimMachine({ seed: 1, rootType });
  const { files } = machine.start();
  const before = await files.list("/var/lib");
  const look = await lookForPool("/var/lib", machine.start(), LIVE);
  expect(look).toMatchObject({ fileSystem: rootType, reflink });
  expect(look.availableBytes).toBeGreaterThan(0);
  expect(await files.list("/var/lib")).toEqual(before);
});

it("sees that mkfs.btrfs is absent", async () => {
  const machine = new SimMachine({ seed: 1 });
  machine.commands.delete("mkfs.btrfs");
  expect(await lookForPool("/var/lib", machine.start(), LIVE)).toMatchObject({ btrfsLoop: false });
});
