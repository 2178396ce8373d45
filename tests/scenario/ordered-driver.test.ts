import { expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { type LayerId, parseId } from "../../src/core/id.ts";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import { MemoryDriver, MemoryStorage } from "../../src/drivers/memory/driver.ts";
import { systemClock } from "../../src/host/clock.ts";
import { orderedDriver } from "../../src/services/ordered-driver.ts";

const signal = new AbortController().signal;
const owner = { uid: 0, gid: 0, mode: 0o755 };
const [A, B, C, D] = [1, 2, 3, 4].map((n) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${n}`),
) as [LayerId, LayerId, LayerId, LayerId];

/** A driver whose commits end when told, and one upon it that is in order. */
async function slow(): Promise<{ driver: StorageDriver; end: (failure?: Failure) => void }> {
  const inner = new MemoryDriver(new MemoryStorage());
  await inner.open(signal);
  await inner.prepare(A, { parent: null, sizeBytes: null, owner }, signal);
  await inner.prepare(D, { parent: null, sizeBytes: null, owner }, signal);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // It may be told to fail before the commit has begun.
  promise.catch(() => undefined);
  const commit = inner.commit.bind(inner);
  inner.commit = async (...args: Parameters<typeof commit>) => {
    await promise;
    return commit(...args);
  };
  const end = (failure?: Failure) => (failure === undefined ? resolve() : reject(failure));
  return { driver: orderedDriver(inner, systemClock), end };
}

async function isWaiting(call: Promise<unknown>): Promise<boolean> {
  const turns = new Promise<string>((resolve) =>
    setImmediate(() => setImmediate(resolve, "waits")),
  );
  return (await Promise.race([call.then(() => "ended"), turns])) === "waits";
}

it("what names a layer that is being committed waits, and finds it; the others go on", async () => {
  const { driver, end } = await slow();
  const committing = driver.commit(A, B, signal, { kept: true });
  const calls = [
    driver.prepare(C, { parent: B, sizeBytes: null, owner }, signal),
    driver.mounts(B, { readOnly: true }, signal),
    driver.usage(B, signal),
    driver.list(signal),
  ];
  for (const call of calls) expect(await isWaiting(call)).toBe(true);
  await driver.usage(D, signal);
  end();
  await Promise.all([committing, ...calls]);
  expect((await driver.list(signal)).map(({ id }) => id)).toEqual([B, C, D]);
});

it("a commit that fails lets them go on too", async () => {
  const { driver, end } = await slow();
  const committing = driver.commit(A, B, signal, { kept: true });
  const usage = driver.usage(A, signal);
  end(new Failure("unavailable", "sick"));
  await expect(committing).rejects.toMatchObject({ code: "unavailable" });
  expect(await usage).toBeDefined();
});

it("commits of different layers go on beside each other, and none waits for itself", async () => {
  const { driver, end } = await slow();
  const both = [
    driver.commit(A, B, signal, { kept: true }),
    driver.commit(D, C, signal, { kept: true }),
  ];
  end();
  await Promise.all(both);
  expect((await driver.list(signal)).map(({ id }) => id)).toEqual([B, C]);
});

it("one that need not be waited for lets the answer before it go first", async () => {
  const inner = new MemoryDriver(new MemoryStorage());
  await inner.open(signal);
  await inner.prepare(A, { parent: null, sizeBytes: null, owner }, signal);
  const told: string[] = [];
  const commit = inner.commit.bind(inner);
  inner.commit = async (...args: Parameters<typeof commit>) => {
    told.push("commit");
    return commit(...args);
  };
  const driver = orderedDriver(inner, systemClock);
  const committing = driver.commit(A, B, signal, { kept: true });
  for (let turn = 0; turn < 100; turn++) await null;
  told.push("answer");
  await driver.usage(B, signal);
  expect(told).toEqual(["answer", "commit"]);
  await committing;
});
