import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Store } from "../../src/core/ports/store.ts";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";
import { storeConformance } from "./store.ts";

const directories = new Map<Store, string>();

storeConformance("SQLite", {
  fresh: async (clock) => {
    const directory = await mkdtemp(join(tmpdir(), "lagan-store-"));
    const store = await SqliteStore.open({ path: join(directory, "lagan.db"), clock });
    directories.set(store, directory);
    return store;
  },
  reopen: (closed, clock) => {
    const directory = directories.get(closed) ?? "";
    return SqliteStore.open({ path: join(directory, "lagan.db"), clock });
  },
  clean: async () => {
    for (const directory of directories.values()) await rm(directory, { recursive: true });
    directories.clear();
  },
});
