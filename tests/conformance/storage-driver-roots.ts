import { expect } from "vitest";
import type { DriverTraits, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import type { Check } from "./storage-driver.ts";
import {
  A,
  B,
  C,
  D,
  type DriverFixture,
  E,
  LIVE,
  mountOf,
  prepare,
  put,
  ROOT_OWNER,
  textOf,
} from "./storage-driver-fixture.ts";

const hasRoots = ({ rootedClones }: DriverTraits): boolean => rootedClones === true;
const from = (root: string) => ({ parent: B, root, sizeBytes: null, owner: ROOT_OWNER });

/** Sentence 21, and what `prepare` says of a directory of the parent as the root. */
export function storageDriverRootTests(check: Check): void {
  check(
    "8 a directory of the parent is the root, also of what is made from the layer",
    async ({ driver, fixture, reopen }) => {
      await prepareTree(driver, fixture);
      await driver.prepare(C, from("a/b"), LIVE);
      await driver.prepare(C, from("a/b"), LIVE);
      expect(await fixture.root(await mountOf(driver, C))).toEqual({
        ...{ uid: 0, gid: 0, mode: 0o750, names: ["file"] },
      });
      await put(fixture, driver, C, "mine", "mine");
      await driver.snapshot(C, D, LIVE);
      await prepare(driver, E, { parent: D });
      const again = await reopen();
      expect(await textOf(fixture, again, E, "mine")).toBe("mine");
      expect(await textOf(fixture, again, E, "file")).toBe("deep");
    },
    hasRoots,
  );
  check(
    "8 a root that is no directory of the parent is refused, and leaves nothing",
    async ({ driver, fixture }) => {
      await prepareTree(driver, fixture);
      for (const root of ["nope", "a/b/file", "a/../a", "", "a/", "/a"]) {
        const refused = { code: "invalid_argument" };
        await expect(driver.prepare(C, from(root), LIVE)).rejects.toMatchObject(refused);
      }
      expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([B]);
      expect(await fixture.leftovers()).toEqual([]);
    },
    hasRoots,
  );
  check(
    "21 trim removes what lies beside the root, and nothing else",
    async ({ driver, fixture }) => {
      await prepareTree(driver, fixture);
      await driver.prepare(C, from("a/b"), LIVE);
      await driver.trim?.(C, LIVE);
      await driver.trim?.(C, LIVE);
      await driver.trim?.(D, LIVE);
      const mount = await mountOf(driver, C);
      expect(await textOf(fixture, driver, C, "file")).toBe("deep");
      const top = { ...mount, source: mount.source.slice(0, -"/a/b".length) };
      expect((await fixture.root(top)).names).toEqual(["a"]);
      await prepare(driver, E, { parent: B });
      expect(await textOf(fixture, driver, E, "beside")).toBe("beside");
    },
    hasRoots,
  );
}

/** B: `beside`, `a/next`, `a/b/file`. */
async function prepareTree(driver: StorageDriver, fixture: DriverFixture): Promise<void> {
  await prepare(driver, A);
  const mount = await mountOf(driver, A);
  await fixture.makeDirectory?.(mount, "a", 0o700);
  await fixture.makeDirectory?.(mount, "a/b", 0o750);
  await put(fixture, driver, A, "beside", "beside");
  await put(fixture, driver, A, "a/next", "next");
  await put(fixture, driver, A, "a/b/file", "deep");
  await driver.commit(A, B, LIVE);
}
