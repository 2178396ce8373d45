import fc from "fast-check";
import { expect, it } from "vitest";
import type { MountEntry } from "../core/ports/kernel.ts";
import { parseMountInfo } from "./mountinfo.ts";

it("parses lines as Linux 6 writes them", () => {
  const text = [
    "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard",
    "36 27 0:31 /containers/a\\040b//deleted /var/lib/x\\134y ro,nosuid master:2 propagate_from:1 - btrfs /dev/loop0 rw,subvolid=5,subvol=/",
    "40 27 0:40 / /run rw - tmpfs  rw",
    "",
  ].join("\n");
  expect(parseMountInfo(text)).toEqual([
    {
      ...{ id: 27, parentId: 1, device: "254:0", root: "/", deleted: false, mountPoint: "/" },
      ...{ options: ["rw", "relatime"], type: "ext4", source: "/dev/vda" },
      superOptions: ["rw", "discard"],
    },
    {
      ...{ id: 36, parentId: 27, device: "0:31", root: "/containers/a b", deleted: true },
      ...{ mountPoint: "/var/lib/x\\y", options: ["ro", "nosuid"], type: "btrfs" },
      ...{ source: "/dev/loop0", superOptions: ["rw", "subvolid=5", "subvol=/"] },
    },
    {
      ...{ id: 40, parentId: 27, device: "0:40", root: "/", deleted: false, mountPoint: "/run" },
      ...{ options: ["rw"], type: "tmpfs", source: "", superOptions: ["rw"] },
    },
  ]);
});

it("passes over what is no mount", () => {
  for (const text of ["", "\n\n", "27 1 254:0 / /", "27 1 254:0 / / rw shared:1", "rubbish"]) {
    expect(parseMountInfo(text)).toEqual([]);
  }
});

/** seq_path(9) and show_mountinfo: blanks and backslashes as three octal digits. */
function escaped(text: string): string {
  return text.replace(
    /[ \t\n\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`,
  );
}

function line(entry: MountEntry, optional: readonly string[]): string {
  const { id, parentId, device, root, deleted, mountPoint, options, type, source } = entry;
  const before = [id, parentId, device, escaped(root) + (deleted ? "//deleted" : "")];
  const point = [escaped(mountPoint), options.join(","), ...optional, "-"];
  return [...before, ...point, type, escaped(source), entry.superOptions.join(",")].join(" ");
}

const name = fc.string({ unit: "binary", minLength: 1 }).map((text) => text.replace(/[/\0]/g, "-"));
const path = fc.array(name, { maxLength: 5 }).map((names) => `/${names.join("/")}`);
const words = fc.array(fc.stringMatching(/^[a-z=:0-9]+$/), { minLength: 1, maxLength: 4 });
const entries = fc.record({
  id: fc.nat(),
  parentId: fc.nat(),
  device: fc.tuple(fc.nat(4095), fc.nat()).map((numbers) => numbers.join(":")),
  root: path,
  deleted: fc.boolean(),
  mountPoint: path,
  options: words,
  type: fc.stringMatching(/^[a-z0-9.]+$/),
  source: fc.oneof(path, name),
  superOptions: words,
});
const optional = fc.array(
  fc.stringMatching(/^(shared|master|propagate_from):[0-9]+$|^unbindable$/),
);

it("reads back every entry that the kernel can write", () => {
  const lines = fc.array(fc.tuple(entries, optional), { maxLength: 5 });
  fc.assert(
    fc.property(lines, (given) => {
      const text = given.map(([entry, fields]) => `${line(entry, fields)}\n`).join("");
      expect(parseMountInfo(text)).toEqual(given.map(([entry]) => entry));
    }),
  );
});

it("takes any text", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseMountInfo(text)));
});
