import { expect, it } from "vitest";
import type { MountEntry } from "../../core/ports/kernel.ts";
import { isBroken, isReadOnly, mountOf } from "./mount-of.ts";

function entry(id: number, parentId: number, mountPoint: string): MountEntry {
  return {
    ...{ id, parentId, mountPoint, device: "8:1", root: "/", deleted: false, type: "ext4" },
    ...{ source: "/dev/sda1", options: ["rw"], superOptions: ["rw"] },
  };
}

it("finds the deepest mount on the way", () => {
  const entries = [
    entry(1, 0, "/"),
    entry(2, 1, "/var"),
    entry(3, 2, "/var/lib"),
    entry(4, 1, "/v"),
  ];
  expect(mountOf("/var/lib/x", entries)?.id).toBe(3);
  expect(mountOf("/var/library", entries)?.id).toBe(2);
  expect(mountOf("/etc", entries)?.id).toBe(1);
});

it("finds the topmost of mounts on one directory", () => {
  const entries = [entry(1, 0, "/"), entry(2, 1, "/p"), entry(3, 2, "/p")];
  expect(mountOf("/p/x", entries)?.id).toBe(3);
});

it("does not find a mount that a later one hides", () => {
  const entries = [entry(1, 0, "/"), entry(2, 1, "/a/b"), entry(3, 1, "/a")];
  expect(mountOf("/a/b/c", entries)?.id).toBe(3);
});

it("tells what takes no writes, and what takes none since an error", () => {
  const writable = entry(1, 0, "/");
  const asked = { ...writable, options: ["ro"], superOptions: ["ro"] };
  const bound = { ...writable, options: ["ro"] };
  const failed = { ...writable, superOptions: ["ro"] };
  // Linux 6.15 and later.
  const failedLater = { ...writable, superOptions: ["rw", "emergency_ro"] };
  const all = [writable, asked, bound, failed, failedLater];
  expect(all.map(isReadOnly)).toEqual([false, true, true, true, true]);
  expect(all.map(isBroken)).toEqual([false, false, false, true, true]);
});
