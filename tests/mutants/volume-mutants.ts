import type { Mutant } from "./mutant.ts";

const VOLUMES = "src/services/volumes.ts";
const TRASH = "src/services/trash.ts";
const MOUNTS = "src/services/mounts.ts";
const RECONCILE = "src/services/reconcile.ts";
const TREES = "src/drivers/btrfs/trees.ts";
const TREE_DRIVER = "src/drivers/shared/tree-driver.ts";
const SETTLING = "src/drivers/shared/settling.ts";
const SHELF = "src/drivers/shared/shelf.ts";
const DRIVER_TESTS = ["tests/conformance/driver-btrfs.test.ts"];

/** In what keeps volumes, layers and mounts. */
export const VOLUME_MUTANTS: readonly Mutant[] = [
  {
    name: "ready-before-layer",
    file: VOLUMES,
    before:
      "    else await driver.prepare(volume.head, { parent, sizeBytes, owner, block, progress }, signal);\n",
    after:
      "    else driver.prepare(volume.head, { parent, sizeBytes, owner, block, progress }, signal).catch(() => undefined);\n",
    breaks: "The record says ready before the layer is there.",
  },
  {
    name: "name-kept-at-removal",
    file: VOLUMES,
    before: "records.write([putVolume(volume), freeName(name)], {",
    after: "records.write([putVolume(volume)], {",
    breaks: "A removed volume keeps its name.",
  },
  {
    name: "name-kept-at-rename",
    file: "src/services/families.ts",
    before: "        freeName(volume.name),\n        claimName(to, volume.id),\n",
    after: "        claimName(to, volume.id),\n",
    breaks: "A renamed volume keeps its old name as well.",
  },
  {
    name: "rename-without-use-check",
    file: "src/services/families.ts",
    before: `      await this.#parts.mounts.ensureUnused(line, "rename", { askEngines: true }, signal);\n`,
    after: "      void line;\n",
    breaks: "A volume is renamed under a container.",
  },
  {
    name: "remove-without-use-check",
    file: VOLUMES,
    before: `      await mounts.ensureUnused(found.value, "remove", options, signal);\n`,
    after: "",
    breaks: "A volume is removed under a container.",
  },
  {
    name: "remove-protected",
    file: VOLUMES,
    before: "      ensureUnprotected(found.value);\n",
    after: "      if (options.askEngines) ensureUnprotected(found.value);\n",
    breaks: "Protection holds only against people.",
  },
  {
    name: "trash-forever",
    file: VOLUMES,
    before: "trashKeepMs === null ? null : trashedAt + trashKeepMs",
    after: "trashKeepMs === null ? null : trashedAt",
    breaks: "A removed volume expires at once.",
  },
  {
    name: "list-shows-creating",
    file: "src/services/records.ts",
    before: `    .filter(({ value }) => value.status.state === "ready")`,
    after: `    .filter(({ value }) => value.status.state !== "trashed")`,
    breaks: "Volumes that are being made or removed are listed.",
  },
  {
    name: "find-shows-creating",
    file: VOLUMES,
    before: `return found?.value.status.state === "ready" ? found : undefined;`,
    after: "return found;",
    breaks: "A volume that is being made is found.",
  },
  {
    name: "limit-not-asked-for",
    file: VOLUMES,
    before: "driver.prepare(volume.head, { parent, sizeBytes, owner, block, progress }, signal);",
    after:
      "driver.prepare(volume.head, { parent, sizeBytes: null, owner, block, progress }, signal);",
    breaks: "A size limit is recorded and never set.",
  },
  {
    name: "undo-keeps-layer",
    file: VOLUMES,
    before: "    await trash.resumePurge(purge, signal);\n",
    after: "    void trash;\n",
    breaks: "A creation that failed is not taken back before a chore does it.",
    tests: ["tests/scenario"],
  },
  {
    name: "undo-keeps-name",
    file: VOLUMES,
    before: "        freeName(volume.name),\n",
    after: "",
    breaks: "A creation that failed keeps its name.",
  },
  {
    name: "mount-beside-removal",
    file: VOLUMES,
    before: "return this.#parts.queue.run(name, async () => work((await this.get(name)).value));",
    after: "return this.get(name).then(({ value }) => work(value));",
    breaks: "An engine is told the path of a volume that is being removed.",
  },
  {
    name: "resume-of-an-old-record",
    file: VOLUMES,
    before: "    await this.#parts.queue.run(operation.target, async () => {",
    after: "    await Promise.resolve().then(async () => {",
    breaks: "The chores carry on a creation beside the request that makes it.",
  },
  {
    name: "restore-over-a-name",
    file: TRASH,
    before: "if ((await records.findVolumeByName(name)) !== undefined) {",
    after: "if (name.length === 0) {",
    breaks: "A restore does not look whether the name is taken (the store's compare is left).",
    tests: ["tests/scenario"],
  },
  {
    name: "restore-without-compare",
    file: TRASH,
    before: `        unchanged: [found],
        free: [name],`,
    after: "        unchanged: [],",
    breaks: "A restore writes over what changed meanwhile.",
  },
  {
    name: "expire-everything",
    file: TRASH,
    before: "status.expiresAt === null || status.expiresAt > now)",
    after: "status.expiresAt === null)",
    breaks: "The trash is emptied by every round of chores.",
  },
  {
    name: "expire-nothing",
    file: TRASH,
    before: "status.expiresAt === null || status.expiresAt > now)",
    after: "status.expiresAt === null || status.expiresAt <= now + 1e15)",
    breaks: "The trash never expires.",
    tests: ["tests/scenario"],
  },
  {
    name: "purge-forgets-layer",
    file: TRASH,
    before:
      "    for (const layer of new Set([volume.head, ...heads])) await driver.remove(layer, signal);\n",
    after: "    void heads;\n",
    breaks: "A purge drops the record and leaves the layer.",
  },
  {
    name: "record-before-layer-at-purge",
    file: TRASH,
    before:
      "    for (const layer of new Set([volume.head, ...heads])) await driver.remove(layer, signal);\n",
    after:
      "    for (const layer of new Set([volume.head, ...heads])) void driver.remove(layer, signal).catch(() => undefined);\n",
    breaks: "A purge drops the record before the layer is gone.",
  },
  {
    name: "no-resume",
    file: RECONCILE,
    before: `if (operation.status.state !== "running") continue;`,
    after: `if (operation.status.state !== "done") continue;`,
    breaks: "What a crash cut off is never carried on.",
  },
  {
    name: "no-resume-of-purges",
    file: RECONCILE,
    before: "        return trash.resumePurge(operation, signal);\n",
    after: "        return Promise.resolve(void trash);\n",
    breaks: "A purge that a crash cut off stays half done.",
  },
  {
    name: "hint-never-expires",
    file: MOUNTS,
    before: "if (now - since < MOUNT_GRACE_MS) return true;",
    after: "if (now >= since) return true;",
    breaks: "A Mount without Unmount holds a volume until a chore forgets it.",
  },
  {
    name: "hint-ignored",
    file: MOUNTS,
    before: "if (starting) {",
    after: "if (starting && attempt === undefined) {",
    breaks: "A container that is just starting does not hold its volume.",
  },
  {
    name: "hint-not-written",
    file: MOUNTS,
    before: `await runtime.txn([], [{ do: "put", key, value: JSON.stringify(next) }]);`,
    after: "void next;",
    breaks: "A Mount is not written down.",
  },
  {
    name: "stale-hints-too-early",
    file: MOUNTS,
    before: "if (this.#isFresh(key, value, now)) continue;",
    after: "",
    breaks: "The chores forget a Mount that has just been answered.",
  },
  {
    name: "users-not-seen",
    file: "src/services/mount-place.ts",
    before: "return entry.device === place.device && isInside(entry.root, place.root);",
    after: "return entry.device === place.device && entry.root === place.device;",
    breaks: "Mount tables are read and nobody is found in them.",
  },
  {
    name: "profile-over-request",
    file: "src/core/volume/spec.ts",
    before: "const merged = { ...profile, ...options };",
    after: "const merged = { ...options, ...profile };",
    breaks: "A profile overrides what was asked for.",
  },
  {
    name: "no-commit-of-subvolumes",
    file: TREES,
    before: "return this.#ports.kernel.commitSubvolumes(this.#root);",
    after: "return Promise.resolve();",
    breaks: "A new subvolume is not durable when its layer is shown.",
    tests: DRIVER_TESTS,
  },
  {
    name: "limit-not-set",
    file: TREES,
    before: "    await kernel.limitSubvolume(path, sizeBytes);\n",
    after: "",
    breaks: "The driver never sets a limit.",
  },
  {
    name: "mode-not-set",
    file: TREES,
    before: "    await this.#ports.files.setMode(path, mode);\n",
    after: "",
    breaks: "A new volume does not get the permission bits that were asked for.",
  },
  {
    name: "leftovers-stay",
    file: TREE_DRIVER,
    before:
      "      this.#stuck = await this.#settling.clearLeftovers(shelf, this.#underWork, discard, signal);\n",
    after: "      void discard;\n",
    breaks: "What a crash left in a pool is never cleared away.",
  },
  {
    name: "resize-not-recorded",
    file: SETTLING,
    before: "    await shelf.rewriteRecord(info.id, { ...record, sizeBytes });\n",
    after: "    void record;\n",
    breaks: "A new size limit is set and not written down.",
    tests: DRIVER_TESTS,
  },
  {
    name: "removed-in-place",
    file: SHELF,
    before: "await this.#files.rename(directory, this.removedOf(layer));",
    after: "await this.#files.removeTree(directory, new AbortController().signal);",
    breaks: "A layer is removed bit by bit where it is, and can be seen half gone.",
  },
  {
    name: "orphans-removed",
    file: RECONCILE,
    before: "    for (const { pool, layer } of orphans) {\n",
    after:
      "    for (const { pool, layer } of orphans) {\n      await this.#parts.pools.get(pool).remove(layer, signal);\n",
    breaks: "A layer that no volume has is removed without a word.",
  },
  {
    name: "records-before-pools",
    file: RECONCILE,
    before: "      ...volumes.map(({ head }) => head),\n",
    after: "      ...volumes.slice(1).map(({ head }) => head),\n",
    breaks: "A volume's own layer is reported as nobody's.",
  },
  {
    name: "copy-of-what-is-mounted",
    file: "src/host/libc-at.ts",
    before: "RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS",
    after: "RESOLVE_NO_MAGICLINKS",
    breaks: "A snapshot takes along what is mounted in the volume.",
    tests: ["tests/conformance/host-files.test.ts"],
  },
  {
    name: "copy-not-written-out",
    file: "src/host/tree-copy.ts",
    before: "      syncFileSystem(to, target);\n",
    after: "",
    breaks: "A power cut takes the content of a copy that was acknowledged.",
    tests: ["tests/conformance/host-files.test.ts"],
  },
  {
    name: "copy-by-two-looks",
    file: "src/host/tree-copy.ts",
    before: "openAt(HERE, handleOf(held), OPEN_FILE, path)",
    after: "openAt(level.from, name, OPEN_FILE, path)",
    breaks: "A file that becomes something else between two looks is followed, or breaks the copy.",
    tests: ["tests/real/host-attacks.test.ts"],
  },
];
