import { describe, expect, it } from "vitest";
import {
  TREE_DEPTH_LIMIT,
  type TreeChange,
  type TreeDiff,
} from "../../src/core/ports/tree-diff.ts";

/** A comparison port, and a machine with two trees for it. */
export interface TreeDiffGiven {
  readonly treeDiff: TreeDiff;
  /** Two directories that are equal, with one of everything in each. */
  readonly before: string;
  readonly after: string;
  /** A path at which nothing is. */
  readonly absent: string;
  /** Runs a shell command in the directory `after`. */
  readonly change: (script: string) => Promise<void>;
  readonly cleanup: () => Promise<void>;
}

/** How the suite gets at one. */
export interface TreeDiffHarness {
  readonly fresh: () => Promise<TreeDiffGiven>;
}

/** All differences, each as `added file PATH BEFORE AFTER`. */
export async function listChanges(changes: AsyncIterable<TreeChange>): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { kind, type, path, bytesBefore, bytesAfter } of changes) {
    lines.push([kind, type, path, bytesBefore, bytesAfter].join(" "));
  }
  return lines;
}

/** A change of the tree `after`, and what is said of it. */
const CHANGES: Readonly<Record<string, readonly [script: string, said: readonly string[]]>> = {
  nothing: [":", []],
  "a file's content and size": [
    "echo more >> d/file",
    ["changed file d/file 7 12", "changed file hard 7 12"],
  ],
  "a file's content in the same length": [
    "printf CONTENT > empty2; mv empty2 block",
    ["changed file block 512 7"],
  ],
  "a file's time alone": ["touch -d @77 block", ["changed file block 512 512"]],
  "a time by one nanosecond": [
    "touch -hd '1970-01-01 00:00:00.000000001 UTC' empty",
    ["changed file empty 0 0"],
  ],
  "a mode": ["chmod 640 block", ["changed file block 512 512"]],
  "an owner": [
    "chown -h 5 absolute",
    ["changed symlink absolute 0 0", "changed symlink hard-to-link 0 0"],
  ],
  "the target of a link": ["ln -sfn elsewhere dangling", ["changed symlink dangling 0 0"]],
  "a device's number": ["rm null; mknod -m 666 null c 1 5", ["changed other null 0 0"]],
  "a FIFO that is a device now": ["rm fifo; mknod -m 620 fifo c 0 0", ["changed other fifo 0 0"]],
  "a new entry in a directory, which is not itself told": ["touch d/new", ["added file d/new 0 0"]],
  "an entry removed from a directory": ["rm d/in", ["removed symlink d/in 0 0"]],
  "a directory's time alone, which does not count": ["touch -d @5 d", []],
  "a directory's mode": ["chmod 700 d", ["changed directory d 0 0"]],
  "the root's owner": ["chown 1:1 .", ["changed directory . 0 0"]],
  "a rename": ["mv block block-2", ["removed file block 512 0", "added file block-2 0 512"]],
  "an added tree": [
    "mkdir -p m/b m/a; echo x > m/a/f; echo y > m-z; echo z > m/b.txt",
    [
      "added directory m 0 0",
      "added directory m/a 0 0",
      "added file m/a/f 0 2",
      "added directory m/b 0 0",
      "added file m/b.txt 0 2",
      "added file m-z 0 2",
    ],
  ],
  "a removed tree": [
    "rm -r d",
    [
      "removed directory d 0 0",
      "removed directory d/empty 0 0",
      "removed file d/file 7 0",
      "removed symlink d/in 0 0",
    ],
  ],
  "a directory that is a file now": [
    "rm -r d; echo x > d",
    [
      "removed directory d 0 0",
      "removed directory d/empty 0 0",
      "removed file d/file 7 0",
      "removed symlink d/in 0 0",
      "added file d 0 2",
    ],
  ],
  "a directory that is a link to one now": [
    "rm -r z-last; ln -s d z-last",
    [
      "removed directory z-last 0 0",
      "removed file z-last/hard-to-long 4 0",
      "added symlink z-last 0 0",
    ],
  ],
  "a link to a directory that is one now": [
    "rm up; mkdir up; touch up/f",
    ["removed symlink up 0 0", "added directory up 0 0", "added file up/f 0 0"],
  ],
  "odd names": [
    `printf x > "$(printf 'new\\377\\n%%')"; mv bad* "$(printf 'grü\\303')"`,
    ["removed file bad%FF%FE%80 5 0", "added file grü%C3 0 5", "added file new%FF\n%25 0 1"],
  ],
};

/** Holds a form of `TreeDiff` to its numbered sentences. */
export function treeDiffConformance(name: string, harness: TreeDiffHarness): void {
  const check = (title: string, body: (given: TreeDiffGiven) => Promise<void>): void => {
    it(title, async () => {
      const given = await harness.fresh();
      try {
        await body(given);
      } finally {
        await given.cleanup();
      }
    });
  };
  const { signal } = new AbortController();

  describe(`TreeDiff: ${name}`, () => {
    for (const [what, [script, said]] of Object.entries(CHANGES)) {
      check(`1-4 tells ${what}`, async ({ treeDiff, before, after, change }) => {
        await change(script);
        expect(await listChanges(treeDiff.compare(before, after, signal))).toEqual(said);
        const back = await listChanges(treeDiff.compare(after, before, signal));
        expect(back.length).toBe(said.length);
      });
    }

    check(
      "6 a reader that is slow, or stops, is waited for",
      async ({ treeDiff, before, after, change }) => {
        await change("for n in $(seq 9000); do echo $n; done | sed 's/^/many-/' | xargs touch");
        let count = 0;
        for await (const { path } of treeDiff.compare(before, after, signal)) {
          expect(path).toMatch(/^many-/);
          if (++count === 700) break;
        }
        const all = await listChanges(treeDiff.compare(before, after, signal));
        expect(all.length).toBe(9000);
      },
    );

    check("7 an abort rejects with its reason", async ({ treeDiff, before, after, change }) => {
      const early = treeDiff.compare(before, after, AbortSignal.abort("early"));
      await expect(listChanges(early)).rejects.toBe("early");
      await change("touch a b c");
      const controller = new AbortController();
      const late = (async () => {
        for await (const _ of treeDiff.compare(before, after, controller.signal)) {
          controller.abort("late");
        }
      })();
      // What has been told already may be read to its end.
      await expect(late).rejects.toBe("late");
    });

    check("8 a root must be a directory", async ({ treeDiff, before, absent, change, after }) => {
      await change("ln -s d link");
      for (const [path, code] of [
        [absent, "not_found"],
        [`${before}/block`, "invalid_argument"],
        [`${after}/link`, "invalid_argument"],
      ] as const) {
        for (const pair of [[path, after] as const, [before, path] as const]) {
          const work = listChanges(treeDiff.compare(...pair, signal));
          await expect(work).rejects.toMatchObject({ name: "Failure", code });
        }
      }
    });

    check("8 a tree that is too deep is refused", async ({ treeDiff, before, after, change }) => {
      await change(`for n in $(seq ${TREE_DEPTH_LIMIT + 1}); do mkdir x; cd x; done`);
      const work = listChanges(treeDiff.compare(before, after, signal));
      await expect(work).rejects.toMatchObject({ code: "out_of_range" });
    });
  });
}
