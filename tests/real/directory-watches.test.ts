import { existsSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, rmdir, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DirectoryWatches } from "../../src/host/directory-watches.ts";
import { mustRun } from "./command.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "lagan-watches-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const path = (name: string | number) => join(root, String(name));

/** Makes directories, and watches them. */
function make(watches: DirectoryWatches, names: readonly (string | number)[]): Promise<void> {
  return watches.perform(
    names.flatMap((name) => [
      { do: "makeDirectory" as const, path: path(name), mode: 0o755 },
      { do: "watch" as const, path: path(name) },
    ]),
  );
}

const unchanged = (watches: DirectoryWatches, names: readonly (string | number)[]) =>
  names.filter((name) => watches.isUnchanged(path(name)));

it("every change is seen as soon as it is made, by whomever, also one that is taken back", async () => {
  const watches = new DirectoryWatches();
  const changes: readonly ((at: string) => Promise<unknown>)[] = [
    (at) => writeFile(join(at, "file"), ""),
    (at) => mkdir(join(at, "in")).then(() => rmdir(join(at, "in"))),
    (at) => utimes(at, 1, 1),
    (at) => mustRun(["ln", "-s", "x", join(at, "link")]),
    (at) => mustRun(["mkfifo", join(at, "pipe")]),
    (at) => mustRun(["chmod", "700", at]),
    (at) => mustRun(["chown", "3:4", at]),
    (at) => mustRun(["setfattr", "-n", "user.color", "-v", "red", at]),
    (at) => mustRun(["setfacl", "-m", "u:9:r", at]),
    (at) => mustRun(["mv", path("other"), at]),
    (at) => mustRun(["mv", at, path("elsewhere")]),
    (at) => rmdir(at),
  ];
  await writeFile(path("other"), "");
  for (const [index, change] of changes.entries()) {
    await make(watches, [index, `quiet${index}`]);
    expect(watches.isUnchanged(path(index)), `${change}`).toBe(true);
    await change(path(index));
    expect(watches.isUnchanged(path(index)), `${change}`).toBe(false);
    expect(watches.isUnchanged(path(`quiet${index}`)), `${change}`).toBe(true);
  }
});

it("a change that comes before the watch is known of is seen too", async () => {
  const watches = new DirectoryWatches();
  await make(watches, ["quiet"]);
  const made = make(watches, ["a", "b", "last"]);
  // The call is on its way to the thread then; the event loop hears of no answer.
  for (let turn = 0; turn < 10; turn++) await undefined;
  while (!existsSync(path("last")));
  writeFileSync(join(path("a"), "file"), "");
  expect(watches.isUnchanged(path("quiet"))).toBe(true);
  await made;
  expect(unchanged(watches, ["quiet", "a", "b"])).toEqual(["quiet", "b"]);
});

it("a directory of the name of another, which is gone, is not taken for it", async () => {
  const watches = new DirectoryWatches();
  await make(watches, ["a"]);
  await rmdir(path("a"));
  await make(watches, ["a"]);
  expect(watches.isUnchanged(path("a"))).toBe(true);
  await rmdir(path("a"));
  await mkdir(path("a"));
  expect(watches.isUnchanged(path("a"))).toBe(false);
});

it("the oldest are watched no more when there are too many", async () => {
  const watches = new DirectoryWatches(3);
  for (const name of [1, 2, 3, 4, 5]) await make(watches, [name]);
  expect(unchanged(watches, [1, 2, 3, 4, 5])).toEqual([3, 4, 5]);
  // Room that a change has made is used.
  await writeFile(join(path(4), "file"), "");
  await make(watches, [6]);
  expect(unchanged(watches, [1, 2, 3, 4, 5, 6])).toEqual([3, 5, 6]);
});

it("when events are lost, nothing is taken for unchanged that was watched before", async () => {
  const watches = new DirectoryWatches(20_000);
  const limit = Number(await mustRun(["cat", "/proc/sys/fs/inotify/max_queued_events"]));
  // Each tells of its change and of its end.
  const names = Array.from({ length: limit / 2 + 100 }, (_none, index) => index);
  await make(watches, ["quiet", ...names]);
  await mustRun(["sh", "-c", 'for at in "$1"/[0-9]*; do : > "$at/f"; done', "sh", root]);
  expect(unchanged(watches, ["quiet", ...names])).toEqual([]);
  await make(watches, ["new"]);
  expect(watches.isUnchanged(path("new"))).toBe(true);
  await writeFile(join(path("new"), "file"), "");
  expect(watches.isUnchanged(path("new"))).toBe(false);
});
