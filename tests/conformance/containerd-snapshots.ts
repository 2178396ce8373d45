import { status } from "@grpc/grpc-js";
import { beforeEach, describe, expect, it } from "vitest";
import type { Snapshots } from "./snapshots-client.ts";

/** A door under test. */
export interface SnapshotsFixture {
  /** A client of a door behind which there is nothing yet. */
  readonly fresh: () => Promise<Snapshots>;
  /** The client after the daemon died and came back. */
  readonly restarted: () => Promise<Snapshots>;
}

const REF = "containerd.io/snapshot.ref";
const VIEW = 1;
const ACTIVE = 2;
const COMMITTED = 3;
const chain = (digit: string) => `sha256:${digit.repeat(64)}`;
const refused = (code: status, details?: RegExp) => ({
  code,
  ...(details && { details: expect.stringMatching(details) }),
});

/** The contract of containerd.services.snapshots.v1, every method and every failure that it states. */
export function containerdSnapshots(fixture: SnapshotsFixture): void {
  let door: Snapshots;
  beforeEach(async () => {
    door = await fixture.fresh();
  });

  async function committed(name: string, parent = "", labels = {}): Promise<void> {
    await door.prepare(`${name}-active`, parent);
    await door.commit(name, `${name}-active`, labels);
  }

  describe("Prepare and View", () => {
    it("an active snapshot without a parent is one bind for reading and writing, of an absolute path", async () => {
      const [mount, ...more] = await door.prepare("default/1/a");
      expect(more).toEqual([]);
      expect(mount).toMatchObject({ type: "bind", options: ["rw", "rbind"] });
      expect(mount?.source).toMatch(/^\//);
      expect(await door.stat("default/1/a")).toMatchObject({ kind: ACTIVE, parent: "" });
    });

    it("a view is read-only, of a parent and of nothing", async () => {
      await committed("base");
      for (const parent of ["base", ""]) {
        const [mount] = await door.view(`view of ${parent}`, parent);
        expect(mount?.options).toContain("ro");
        expect(await door.stat(`view of ${parent}`)).toMatchObject({ kind: VIEW, parent });
        await expect(door.commit("x", `view of ${parent}`)).rejects.toMatchObject(
          refused(status.FAILED_PRECONDITION),
        );
      }
    });

    it("a key that is taken, by whatever kind, is ALREADY_EXISTS", async () => {
      await committed("base");
      await door.prepare("a");
      for (const key of ["a", "base"]) {
        await expect(door.prepare(key)).rejects.toMatchObject(refused(status.ALREADY_EXISTS));
        await expect(door.view(key, "base")).rejects.toMatchObject(refused(status.ALREADY_EXISTS));
      }
    });

    it("an absent parent is NOT_FOUND, one that is not committed INVALID_ARGUMENT; nothing is left", async () => {
      await door.prepare("a");
      for (const make of [door.prepare.bind(door), door.view.bind(door)]) {
        await expect(make("b", "absent")).rejects.toMatchObject(refused(status.NOT_FOUND));
        await expect(make("b", "a")).rejects.toMatchObject(refused(status.INVALID_ARGUMENT));
      }
      expect((await door.list()).map(({ name }) => name)).toEqual(["a"]);
    });

    it("an empty key and a label beyond 4096 bytes are INVALID_ARGUMENT", async () => {
      await expect(door.prepare("")).rejects.toMatchObject(refused(status.INVALID_ARGUMENT));
      const labels = { k: "x".repeat(4_096) };
      await expect(door.prepare("a", "", labels)).rejects.toMatchObject(
        refused(status.INVALID_ARGUMENT),
      );
      await door.prepare("a", "", { k: "x".repeat(4_095) });
    });

    it("keys may be long, hold slashes, blanks and any letter", async () => {
      const key = `k8s.io/7/extract-1-Ab= ${chain("a")} ${"é".repeat(2_000)}`;
      await door.prepare(key);
      expect((await door.stat(key)).name).toBe(key);
    });
  });

  describe("Mounts", () => {
    it("gives what Prepare and View gave; a committed one is FAILED_PRECONDITION, an absent one NOT_FOUND", async () => {
      await committed("base");
      const prepared = await door.prepare("a", "base");
      const viewed = await door.view("v", "base");
      expect(await door.mounts("a")).toEqual(prepared);
      expect(await door.mounts("v")).toEqual(viewed);
      await expect(door.mounts("base")).rejects.toMatchObject(refused(status.FAILED_PRECONDITION));
      await expect(door.mounts("absent")).rejects.toMatchObject(refused(status.NOT_FOUND));
    });
  });

  describe("Commit", () => {
    it("the key goes and the name comes, with the parent, its own labels and equal times", async () => {
      await committed("base");
      await door.prepare("a", "base", { "containerd.io/snapshot/old": "1" });
      await door.commit("top", "a", { "containerd.io/snapshot/new": "2" });
      await expect(door.stat("a")).rejects.toMatchObject(refused(status.NOT_FOUND));
      const info = await door.stat("top");
      expect(info).toMatchObject({ kind: COMMITTED, parent: "base" });
      expect(info.labels).toEqual({ "containerd.io/snapshot/new": "2" });
      expect(info.createdAt).toEqual(info.updatedAt);
      await door.prepare("a");
    });

    it("absent NOT_FOUND, committed FAILED_PRECONDITION, a name that is taken ALREADY_EXISTS", async () => {
      await committed("base");
      await door.prepare("a");
      await expect(door.commit("x", "absent")).rejects.toMatchObject(refused(status.NOT_FOUND));
      await expect(door.commit("x", "base")).rejects.toMatchObject(
        refused(status.FAILED_PRECONDITION),
      );
      await expect(door.commit("base", "a")).rejects.toMatchObject(refused(status.ALREADY_EXISTS));
      await expect(door.commit("", "a")).rejects.toMatchObject(refused(status.INVALID_ARGUMENT));
      await expect(door.commit("x", "a", {}, "base")).rejects.toMatchObject(
        refused(status.UNIMPLEMENTED),
      );
      expect((await door.stat("a")).kind).toBe(ACTIVE);
    });
  });

  describe("Remove", () => {
    it("a parent is FAILED_PRECONDITION and says that it cannot be removed; an absent one NOT_FOUND", async () => {
      await committed("base");
      await committed("middle", "base");
      await door.view("v", "middle");
      for (const key of ["base", "middle"]) {
        await expect(door.remove(key)).rejects.toMatchObject(
          refused(status.FAILED_PRECONDITION, /remove/),
        );
      }
      for (const key of ["v", "middle", "base"]) await door.remove(key);
      expect(await door.list()).toEqual([]);
      await expect(door.remove("base")).rejects.toMatchObject(refused(status.NOT_FOUND));
    });

    it("the key can be used again at once, before the room is given back", async () => {
      for (let round = 0; round < 5; round++) {
        await door.prepare("a");
        await door.remove("a");
      }
      await door.cleanup();
      expect(await door.list()).toEqual([]);
    });
  });

  describe("Update", () => {
    it("replaces all labels, sets single ones, and deletes what is empty", async () => {
      await door.prepare("a", "", { one: "1", "containerd.io/two": "2" });
      const before = await door.stat("a");
      const set = await door.update("a", { "containerd.io/two": "3", other: "x" }, [
        "labels.containerd.io/two",
      ]);
      expect(set.labels).toEqual({ one: "1", "containerd.io/two": "3" });
      expect(set.createdAt).toEqual(before.createdAt);
      expect(set.updatedAt).not.toEqual(before.updatedAt);
      expect((await door.update("a", { one: "" }, ["labels.one"])).labels).toEqual({
        "containerd.io/two": "3",
      });
      expect((await door.update("a", { n: "1" }, ["labels"])).labels).toEqual({ n: "1" });
      expect((await door.update("a", { m: "1" }, undefined)).labels).toEqual({ m: "1" });
      expect(await door.stat("a")).toMatchObject({ labels: { m: "1" } });
    });

    it("another field is INVALID_ARGUMENT, an absent snapshot NOT_FOUND", async () => {
      await door.prepare("a");
      for (const field of ["name", "parent", "kind", "created_at", "labels.", "label"]) {
        if (field === "labels.") continue;
        await expect(door.update("a", {}, [field])).rejects.toMatchObject(
          refused(status.INVALID_ARGUMENT),
        );
      }
      await expect(door.update("b", {}, ["labels"])).rejects.toMatchObject(
        refused(status.NOT_FOUND),
      );
    });
  });

  describe("List", () => {
    it("comes in blocks of 100, of every namespace, and of nothing that is not containerd's", async () => {
      const keys = Array.from({ length: 250 }, (_, index) => `ns${index % 3}/${index}/key`);
      await Promise.all(keys.map((key) => door.prepare(key)));
      const blocks = await door.blocks();
      expect(blocks.map(({ length }) => length)).toEqual([100, 100, 50]);
      expect(new Set(blocks.flat().map(({ name }) => name))).toEqual(new Set(keys));
    });

    it("filters by name, parent, kind and label, one of several", async () => {
      await committed("base", "", { "containerd.io/snapshot.ref": "x" });
      await door.prepare("a", "base", { color: "red" });
      const names = async (...filters: string[]) =>
        (await door.list(...filters)).map(({ name }) => name).sort();
      expect(await names("kind==committed")).toEqual(["base"]);
      expect(await names("parent==base")).toEqual(["a"]);
      expect(await names('parent==""')).toEqual(["base"]);
      expect(await names('labels."containerd.io/snapshot.ref"==x,parent==""')).toEqual(["base"]);
      expect(await names("labels.color==blue", "name~=^b")).toEqual(["base"]);
      await expect(door.list("kind=committed")).rejects.toMatchObject(
        refused(status.INVALID_ARGUMENT),
      );
    });
  });

  describe("Stat and Usage", () => {
    it("absent is NOT_FOUND; times lie between two looks at the clock", async () => {
      await expect(door.stat("a")).rejects.toMatchObject(refused(status.NOT_FOUND));
      await expect(door.usage("a")).rejects.toMatchObject(refused(status.NOT_FOUND));
      const before = BigInt(Date.now()) * 1_000_000n;
      await door.prepare("a");
      const after = BigInt(Date.now() + 3) * 1_000_000n;
      const { createdAt, updatedAt } = await door.stat("a");
      const ns = (createdAt?.seconds ?? 0n) * 1_000_000_000n + BigInt(createdAt?.nanos ?? 0);
      expect(ns >= before && ns <= after).toBe(true);
      expect(updatedAt).toEqual(createdAt);
    });
  });

  describe("the remote protocol", () => {
    it("a chain that is there is ALREADY_EXISTS, and found by its label and parent", async () => {
      const unpack = `default/1/extract-9-x ${chain("a")}`;
      await door.prepare(unpack);
      await door.commit(`default/2/${chain("a")}`, unpack);
      const labels = { [REF]: chain("a") };
      for (let round = 0; round < 2; round++) {
        await expect(
          door.prepare(`other/${round}/extract-8-y ${chain("a")}`, "", labels),
        ).rejects.toMatchObject(refused(status.ALREADY_EXISTS));
        const found = await door.list(`labels."${REF}"==${chain("a")},parent==""`);
        expect(found).toMatchObject([{ kind: COMMITTED, parent: "" }]);
      }
      const [offer] = await door.list(`labels."${REF}"==${chain("a")}`);
      await door.prepare("on top", offer?.name);
      await expect(door.remove(offer?.name ?? "")).rejects.toMatchObject(
        refused(status.FAILED_PRECONDITION),
      );
    });

    it("a chain that is not there, or on another parent, is prepared as any", async () => {
      await committed("base");
      await door.prepare("a", "", { [REF]: chain("b") });
      const unpack = `default/1/extract-9-x ${chain("c")}`;
      await door.prepare(unpack);
      await door.commit(`default/2/${chain("c")}`, unpack);
      await door.prepare("b", "base", { [REF]: chain("c") });
    });

    it("one chain committed from two namespaces succeeds twice, and is one layer", async () => {
      const keys = ["ns1", "ns2"].map((ns) => `${ns}/1/extract-9-x ${chain("d")}`);
      await Promise.all(keys.map((key) => door.prepare(key, "", { [REF]: chain("d") })));
      await Promise.all(keys.map((key, index) => door.commit(`ns${index}/2/${chain("d")}`, key)));
      const views = await Promise.all(
        [0, 1].map((n) => door.view(`v${n}`, `ns${n}/2/${chain("d")}`)),
      );
      expect((await door.list("kind==committed")).length).toBe(2);
      expect(views).toHaveLength(2);
    });
  });

  describe("many at once", () => {
    it("of 64 Prepares of one key one is answered, the others are ALREADY_EXISTS", async () => {
      const all = await Promise.allSettled(Array.from({ length: 64 }, () => door.prepare("a")));
      const failed = all.filter((one) => one.status === "rejected");
      expect(failed).toHaveLength(63);
      for (const { reason } of failed) expect(reason.code).toBe(status.ALREADY_EXISTS);
    });

    it("64 Prepares and Commits, in a chain and side by side, and a name that many want", async () => {
      await committed("base");
      await Promise.all(
        Array.from({ length: 64 }, async (_, n) => {
          await door.prepare(`a${n}`, "base");
          await door.commit(`c${n}`, `a${n}`);
        }),
      );
      expect(await door.list("parent==base")).toHaveLength(64);
      await Promise.all(Array.from({ length: 64 }, (_, n) => door.prepare(`b${n}`, `c${n}`)));
      const all = await Promise.allSettled(
        Array.from({ length: 64 }, (_, n) => door.commit("one", `b${n}`)),
      );
      expect(all.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    });

    it("a parent that is removed while children come: it goes, or has them", async () => {
      for (let round = 0; round < 20; round++) {
        await committed(`p${round}`);
        const [removed, made] = await Promise.allSettled([
          door.remove(`p${round}`),
          door.prepare(`child${round}`, `p${round}`),
        ]);
        expect([removed.status, made.status].sort()).toEqual(["fulfilled", "rejected"]);
      }
    });
  });

  it("everything is there after the daemon died", async () => {
    await committed("base", "", { a: "b" });
    await door.prepare("a", "base");
    const before = await door.list();
    const mounts = await door.mounts("a");
    const again = await fixture.restarted();
    expect(await again.list()).toEqual(before);
    expect(await again.mounts("a")).toEqual(mounts);
    await expect(again.remove("base")).rejects.toMatchObject(refused(status.FAILED_PRECONDITION));
  });
}
