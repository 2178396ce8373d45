import { Failure } from "../../src/core/failure.ts";
import { MemoryDriver, MemoryStorage } from "../../src/drivers/memory/driver.ts";
import { storageDriverConformance } from "./storage-driver.ts";
import type { DriverFixture, WriteOutcome } from "./storage-driver-fixture.ts";

storageDriverConformance("memory", {
  traits: new MemoryDriver().traits,
  fresh: async () => memoryFixture(new MemoryStorage()),
});

function memoryFixture(storage: MemoryStorage): DriverFixture {
  return {
    driver: () => new MemoryDriver(storage),
    async write({ source, options }, path, bytes): Promise<WriteOutcome> {
      if (options.includes("ro")) return "EROFS";
      try {
        storage.write(source, path, bytes);
        return "written";
      } catch (thrown) {
        return Failure.from(thrown).code === "resource_exhausted" ? "EDQUOT" : "EROFS";
      }
    },
    sync: async () => undefined,
    read: async ({ source }, path) => storage.at(source)?.files.get(path),
    unlink: async ({ source }, path) => storage.write(source, path, null),
    root: async ({ source }) => {
      const { owner, files } = storage.at(source) ?? { owner: { uid: -1, gid: -1, mode: -1 } };
      return { ...owner, names: [...(files?.keys() ?? [])].sort() };
    },
    reach: ({ source }, work) => work(source),
    leftovers: async () => [],
    fault: async () => {
      storage.fault = "its disk is gone";
    },
    mend: async () => {
      storage.fault = null;
    },
    dispose: async () => undefined,
  };
}
