import { expect } from "vitest";
import type { DriverTraits } from "../../src/core/ports/storage-driver.ts";
import { makeSeats } from "../../src/core/together.ts";
import type { Check } from "./storage-driver.ts";
import {
  A,
  B,
  C,
  D,
  E,
  failedRecord,
  info,
  LIVE,
  laterRecord,
  mountOf,
  prepare,
  put,
  textOf,
} from "./storage-driver-fixture.ts";

const hasLayers = (traits: DriverTraits): boolean => traits.layers;

/** Sentences 8 to 15, as far as they are about layers upon layers. */
export function storageDriverLayerTests(check: Check): void {
  commitTests(check);
  parentTests(check);
}

function commitTests(check: Check): void {
  check("13 commit gives the layer its new id and no limit", async ({ driver, reopen }) => {
    await prepare(driver, A);
    await driver.commit(A, B, LIVE);
    await driver.commit(A, B, LIVE);
    expect(await driver.list(LIVE)).toEqual([info(B, "committed")]);
    expect(await (await reopen()).list(LIVE)).toEqual([info(B, "committed")]);
  });
  check("13 commit needs an active layer and a free id", async ({ driver }) => {
    await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject({ code: "not_found" });
    await prepare(driver, A);
    await prepare(driver, B);
    await expect(driver.commit(A, B, LIVE)).rejects.toMatchObject({ code: "already_exists" });
    await driver.commit(A, C, LIVE);
    await expect(driver.commit(B, C, LIVE)).rejects.toMatchObject({ code: "already_exists" });
    await expect(driver.commit(C, D, LIVE)).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await driver.list(LIVE)).toEqual([info(B, "active"), info(C, "committed")]);
  });
  check(
    "14 a snapshot keeps the content of its instant, and the layer goes on",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "one");
      await driver.snapshot(A, B, LIVE);
      await put(fixture, driver, A, "file", "two");
      await driver.snapshot(A, B, LIVE);
      const [after, ...copy] = await driver.list(LIVE);
      const parents = driver.traits.independentLayers ? [null] : [null, B];
      expect(after).toMatchObject({ id: A, kind: "active" });
      expect(parents).toContain(after?.parent);
      expect(copy).toEqual([info(B, "committed")]);
      await driver.view(C, B, LIVE);
      expect(await textOf(fixture, driver, C, "file")).toBe("one");
      expect(await textOf(fixture, driver, A, "file")).toBe("two");
    },
    hasLayers,
  );
  check(
    "14 a snapshot needs an active layer and a free id",
    async ({ driver }) => {
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject({ code: "not_found" });
      await prepare(driver, A);
      await prepare(driver, B);
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject({ code: "already_exists" });
      await driver.commit(A, C, LIVE);
      const refused = { code: "failed_precondition" };
      await expect(driver.snapshot(C, D, LIVE)).rejects.toMatchObject(refused);
    },
    hasLayers,
  );
  check(
    "14 a snapshot of what somebody has mounted is refused where it cannot be one",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "kept");
      await fixture.reach(await mountOf(driver, A), async () => {
        const refused = { code: "failed_precondition" };
        await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject(refused);
      });
      expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
      await driver.snapshot(A, B, LIVE);
    },
    (traits) => hasLayers(traits) && traits.liveSnapshots === false,
  );
  check(
    "20 a change since a snapshot is told at the next one at the latest",
    async ({ driver, fixture }) => {
      if (driver.changedSince === undefined) return;
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "old");
      await driver.snapshot(A, B, LIVE);
      await put(fixture, driver, A, "file", "new");
      await driver.snapshot(A, C, LIVE);
      expect(await driver.changedSince(A, B, LIVE)).toBe(true);
      await prepare(driver, D, { parent: B });
      expect(await driver.changedSince(D, B, LIVE)).toBe(true);
      await driver.remove(C, LIVE);
      const absent = { code: "not_found" };
      await expect(driver.changedSince(A, C, LIVE)).rejects.toMatchObject(absent);
    },
    (traits) => hasLayers(traits),
  );
  check(
    "25 a snapshot is there when it is on record, and not at all when it cannot be",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "kept");
      const making = driver.snapshot(A, B, LIVE, { recorded: failedRecord() });
      await expect(making).rejects.toThrow("not on record");
      expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
      const { record, recorded } = laterRecord();
      const made = driver.snapshot(A, B, LIVE, { recorded });
      expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
      record();
      await made;
      expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A, B]);
      await driver.view(C, B, LIVE);
      expect(await textOf(fixture, driver, C, "file")).toBe("kept");
    },
    hasLayers,
  );
  check(
    "28 snapshots that join wait for each other, and are there together",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await prepare(driver, B);
      const [one, two, three, four] = [...makeSeats(2), ...makeSeats(2)];
      const first = driver.snapshot(A, C, LIVE, { seat: one });
      await put(fixture, driver, A, "file", "of A");
      await put(fixture, driver, B, "file", "of B");
      expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A, B]);
      await Promise.all([first, driver.snapshot(B, D, LIVE, { seat: two })]);
      await prepare(driver, E, { parent: C });
      expect(await textOf(fixture, driver, E, "file")).toBe("of A");
      await driver.remove(E, LIVE);
      await prepare(driver, E, { parent: D });
      expect(await textOf(fixture, driver, E, "file")).toBe("of B");
      await driver.remove(E, LIVE);
      four?.leave();
      await driver.snapshot(A, E, LIVE, { seat: three });
      expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A, B, C, D, E]);
    },
    (traits) => traits.joinedSnapshots === true,
  );
  check(
    "14 a snapshot is refused without the trait",
    async ({ driver }) => {
      await prepare(driver, A);
      await expect(driver.snapshot(A, B, LIVE)).rejects.toMatchObject({ code: "unimplemented" });
    },
    (traits) => !hasLayers(traits),
  );
}

function parentTests(check: Check): void {
  check(
    "8 a layer from a parent has its content and root, and changes alone",
    async ({ driver, fixture }) => {
      const owner = { uid: 11, gid: 22, mode: 0o1750 };
      await prepare(driver, A, { owner });
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await prepare(driver, C, { parent: B });
      await prepare(driver, D, { parent: B });
      const root = await fixture.root(await mountOf(driver, C));
      expect(root).toEqual({ ...owner, names: ["file"] });
      await put(fixture, driver, C, "file", "changed");
      expect(await textOf(fixture, driver, D, "file")).toBe("base");
      await driver.view(A, B, LIVE);
      expect(await textOf(fixture, driver, A, "file")).toBe("base");
    },
    hasLayers,
  );
  check(
    "10 a parent must be there and committed",
    async ({ driver }) => {
      const absent = { code: "not_found" };
      await expect(prepare(driver, B, { parent: A })).rejects.toMatchObject(absent);
      await expect(driver.view(B, A, LIVE)).rejects.toMatchObject(absent);
      await prepare(driver, A);
      const refused = { code: "failed_precondition" };
      await expect(prepare(driver, B, { parent: A })).rejects.toMatchObject(refused);
      await expect(driver.view(B, A, LIVE)).rejects.toMatchObject(refused);
      expect(await driver.list(LIVE)).toEqual([info(A, "active")]);
    },
    hasLayers,
  );
  check(
    "12 a view is read-only, and exists once",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await driver.view(C, B, LIVE);
      await driver.view(C, B, LIVE);
      expect(await driver.list(LIVE)).toEqual([
        info(B, "committed"),
        info(C, "view", { parent: B }),
      ]);
      const mount = await mountOf(driver, C);
      expect(mount.options).toContain("ro");
      expect(await fixture.write(mount, "file", new Uint8Array(1))).toBe("EROFS");
      await expect(prepare(driver, C, { parent: B })).rejects.toMatchObject({
        code: "already_exists",
      });
    },
    hasLayers,
  );
  check(
    "15 a parent goes and its children stay whole",
    async ({ driver, fixture, reopen }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await prepare(driver, C, { parent: B });
      await driver.remove(B, LIVE);
      await driver.remove(B, LIVE);
      expect(await driver.list(LIVE)).toEqual([info(C, "active", { parent: B })]);
      expect(await textOf(fixture, await reopen(), C, "file")).toBe("base");
    },
    (traits) => hasLayers(traits) && traits.independentLayers,
  );
  check(
    "15 a parent cannot be removed, and the refusal names a child",
    async ({ driver, fixture }) => {
      await prepare(driver, A);
      await put(fixture, driver, A, "file", "base");
      await driver.commit(A, B, LIVE);
      await prepare(driver, C, { parent: B });
      await expect(driver.remove(B, LIVE)).rejects.toMatchObject({
        code: "failed_precondition",
        detail: { child: C },
      });
      expect(await textOf(fixture, driver, C, "file")).toBe("base");
      await driver.remove(C, LIVE);
      await driver.remove(B, LIVE);
      expect(await driver.list(LIVE)).toEqual([]);
    },
    (traits) => hasLayers(traits) && !traits.independentLayers,
  );
}
