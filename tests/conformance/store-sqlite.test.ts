import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Store } from "../../src/core/ports/store.ts";
import type { Durability } from "../../src/stores/sqlite/database.ts";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";
import { storeConformance } from "./store.ts";

const directories = new Map<Store, string>();

function suite(name: string, durability: Durability): void {
  storeConformance(name, {
    fresh: async (clock) => {
      const directory = await mkdtemp(join(tmpdir(), "lagan-store-"));
      const path = join(directory, "lagan.db");
      const store = await SqliteStore.open({ path, clock, durability });
      directories.set(store, directory);
      return store;
    },
    reopen: (closed, clock) => {
      const path = join(directories.get(closed) ?? "", "lagan.db");
      return SqliteStore.open({ path, clock, durability });
    },
    clean: async () => {
      for (const directory of directories.values()) await rm(directory, { recursive: true });
      directories.clear();
    },
  });
}

suite("SQLite", "power-cut");
suite("SQLite in the caller's thread", "process");
