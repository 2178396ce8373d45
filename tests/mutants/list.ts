/** A planted bug: where, what it replaces (found exactly once), with what, and what it breaks. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** One sentence. */
  readonly breaks: string;
  /** Tests that should kill it, when scenarios and simulation are not the ones. */
  readonly tests?: readonly string[];
}

const VOLUMES = "src/services/volumes.ts";
const TRASH = "src/services/trash.ts";
const MOUNTS = "src/services/mounts.ts";
const RECONCILE = "src/services/reconcile.ts";
const TREES = "src/drivers/btrfs/trees.ts";
const TREE_DRIVER = "src/drivers/shared/tree-driver.ts";
const SETTLING = "src/drivers/shared/settling.ts";
const SHELF = "src/drivers/shared/shelf.ts";
const QUIET = "src/services/quiet.ts";
const HISTORY = ["tests/scenario/history.test.ts", "tests/scenario/history-crashes.test.ts"];
const DRIVER_TESTS = ["tests/conformance/driver-btrfs.test.ts"];

/** The standing list. Each must be killed: `npm run mutants`. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "ready-before-layer",
    file: VOLUMES,
    before: `    await pools
      .get(volume.spec.pool)
      .prepare(volume.head, { parent: origin?.layer ?? null, sizeBytes, owner }, signal);
    await fill`,
    after: `    pools
      .get(volume.spec.pool)
      .prepare(volume.head, { parent: origin?.layer ?? null, sizeBytes, owner }, signal)
      .catch(() => undefined);
    await fill`,
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
    file: VOLUMES,
    before: `      .filter(({ value }) => value.status.state === "ready")`,
    after: `      .filter(({ value }) => value.status.state !== "trashed")`,
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
    before: ".prepare(volume.head, { parent: origin?.layer ?? null, sizeBytes, owner }, signal);",
    after:
      ".prepare(volume.head, { parent: origin?.layer ?? null, sizeBytes: null, owner }, signal);",
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
    before: "      await this.#clearLeftovers(shelf, signal);\n",
    after: "",
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
  {
    name: "held-before-written-down",
    file: QUIET,
    before: "if (plan.undo.length > 0) await records.write([putQuiet(record)]);",
    after: "",
    breaks: "A daemon that is killed leaves containers stopped for ever.",
    tests: ["tests/scenario/quiet.test.ts"],
  },
  {
    name: "undone-only-what-succeeded",
    file: QUIET,
    before: `        for (const undo of step.undo) due.add(undo);
        await this.#steps.take(step, attempt, signal);`,
    after: `        await this.#steps.take(step, attempt, signal);
        for (const undo of step.undo) due.add(undo);`,
    breaks: "What a pre-hook began before it failed is never ended.",
    tests: ["tests/scenario/quiet.test.ts"],
  },
  {
    name: "containers-held-by-two",
    file: QUIET,
    before: "return this.#queue.run(first, () => this.#holding(rest, work));",
    after: "return this.#holding(rest, work);",
    breaks: "Two restores at once put a container back to what the other made of it.",
    tests: ["tests/scenario/quiet.test.ts"],
  },
  {
    name: "paused-container-started",
    file: "src/core/quiet/plan-quiet.ts",
    before: `details.state === "paused" ? [start,`,
    after: `details.state === "stopped" ? [start,`,
    breaks: "A container that was paused runs after a restore.",
    tests: ["tests/scenario/quiet.test.ts"],
  },
  {
    name: "retention-of-the-future",
    file: "src/core/schedule/retention.ts",
    before: `cause === "scheduled" && createdAt <= now + CLOCK_TOLERANCE_MS,`,
    after: `cause === "scheduled",`,
    breaks: "Snapshots of a clock that was ahead push out those of today.",
    tests: ["src/core/schedule"],
  },
  {
    name: "retention-of-what-was-asked-for",
    file: "src/core/schedule/retention.ts",
    before: `    if (snapshot.cause !== "scheduled") add(snapshot, "asked");\n`,
    after: "",
    breaks: "A snapshot that somebody took is removed by a schedule.",
    tests: ["src/core/schedule"],
  },
  {
    name: "retention-of-the-oldest",
    file: "src/core/schedule/retention.ts",
    before: "    if (chosen.has(bucket)) continue;\n",
    after: "",
    breaks: "Of a day the oldest snapshot stays, so later plans lose days.",
    tests: ["src/core/schedule"],
  },
  {
    name: "schedule-drifts",
    file: "src/core/schedule/schedule.ts",
    before: "return (Math.floor(lastAt / everyMs) + 1) * everyMs;",
    after: "return lastAt + everyMs;",
    breaks:
      "Each snapshot is a little later than the one before, and now and then one is left out.",
    tests: ["src/core/schedule"],
  },
  {
    name: "schedule-begun-twice",
    file: "src/services/schedules.ts",
    before: "if (schedule === null || this.#underWay.has(id)) return;",
    after: "if (schedule === null) return;",
    breaks: "A snapshot that hangs is begun again every minute.",
    tests: ["tests/scenario/schedules.test.ts"],
  },
  {
    name: "nobody-thaws",
    file: "src/host/thaw-keeper.ts",
    before: "|| fsfreeze --unfreeze /proc/self/fd/3",
    after: "|| true",
    breaks: "When lagand dies in the instant of a snapshot, the volume's writers wait for ever.",
    tests: ["tests/real/freeze.test.ts"],
  },
  {
    name: "cloned-unfrozen",
    file: "src/host/syscalls-freeze.ts",
    before: '    ioctlNumber(fd, FIFREEZE, 0, "freeze", frozen);\n',
    after: "",
    breaks: "A snapshot of an image in use is of no one instant.",
    tests: ["tests/conformance/host-kernel.test.ts"],
  },
  {
    name: "growth-not-noted",
    file: "src/drivers/loop/image-size.ts",
    before: '    await files.writeText(noteOf(image), "");\n',
    after: "",
    breaks:
      "A growth that a crash cut short leaves a file system that does not fill its image, for ever.",
    tests: ["tests/real/driver-loop.test.ts"],
  },
  {
    name: "restore-never-carried-on",
    file: "src/services/restores.ts",
    before: "    if (shown === true) {\n",
    after: "    if (shown === true && kept === undefined) {\n",
    breaks: "A restore cut off after its record is taken back: the head is removed.",
    tests: HISTORY,
  },
  {
    name: "snapshot-before-layer",
    file: "src/services/snapshots.ts",
    before: "      await driver.snapshot(volume.head, snapshot.layer, signal);\n",
    after: "      driver.snapshot(volume.head, snapshot.layer, signal).catch(() => undefined);\n",
    breaks: "A snapshot is shown before the driver has it.",
    tests: HISTORY,
  },
  {
    name: "snapshot-finished-not-undone",
    file: "src/services/snapshots.ts",
    before: "        await this.#undo(found, operation, failure, signal);\n",
    after:
      '        const { operations } = this.#parts;\n        await records.write([\n          putSnapshot({ ...found.value, status: { state: "ready" } }),\n          putOperation(operations.done(operation)),\n        ]);\n',
    breaks: "A snapshot whose making was cut off is shown, whether there is one or not.",
    tests: HISTORY,
  },
  {
    name: "rename-forgets-branches",
    file: "src/services/families.ts",
    before: "        ...renamed.flatMap(({ before, value }) => [\n",
    after: "        ...renamed.slice(1).flatMap(({ before, value }) => [\n",
    breaks: "A branch keeps the old name of its volume.",
    tests: HISTORY,
  },
  {
    name: "restore-commits-before-record",
    file: "src/services/restores.ts",
    before: "      return await this.#replace(volume, begun, operation);\n",
    after: `      const { value } = volume;
      await this.#parts.pools.get(value.spec.pool).commit(value.head, kept.layer, signal);
      return await this.#replace(volume, begun, operation);
`,
    breaks: "A restore takes the old head away before the record names the new one.",
    tests: HISTORY,
  },
  {
    name: "restore-undone-without-its-head",
    file: "src/services/restores.ts",
    before: "    await pools.get(volume.value.spec.pool).remove(headOf(operation), signal);\n",
    after: "    void pools;\n    void signal;\n",
    breaks: "A restore that failed leaves the head that it made.",
    tests: HISTORY,
  },
  {
    name: "trashed-name-taken-twice",
    file: "src/services/snapshot-trash.ts",
    before: "      name: taken ? null : found.value.name,\n",
    after: "      name: taken ? found.value.name : found.value.name,\n",
    breaks: "A snapshot comes back with a name that another has.",
    tests: HISTORY,
  },
  {
    name: "name-of-history-unchecked",
    file: "src/services/snapshots.ts",
    before: "      if (branch === undefined && snapshot === undefined) return work();\n",
    after: "      if (branch === undefined || snapshot === undefined) return work();\n",
    breaks: "Two points of one history have one name.",
    tests: HISTORY,
  },
  {
    name: "temporary-snapshot-stays",
    file: "src/services/origins.ts",
    before: "    if (taken !== undefined) await this.#parts.snapshots.forget(taken, signal);\n",
    after: "    void taken;\n    void signal;\n",
    breaks: "A clone of a volume that failed leaves the snapshot that was taken for it.",
    tests: HISTORY,
  },
  {
    name: "protected-snapshot-removed",
    file: "src/services/snapshots.ts",
    before: "    if (protection !== null) {\n",
    after: "    if (protection !== null && signal.aborted) {\n",
    breaks: "A protected snapshot is removed.",
    tests: HISTORY,
  },
  {
    name: "snapshot-record-before-bytes",
    file: "src/services/snapshot-trash.ts",
    before: "        await pools.get(line.value.spec.pool).remove(found.value.layer, signal);\n",
    after: "        void pools;\n        void signal;\n",
    breaks: "A snapshot that was removed for good leaves its bytes.",
    tests: HISTORY,
  },
];
