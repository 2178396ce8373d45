import type { Mutant } from "./mutant.ts";

const QUIET = "src/services/quiet.ts";
const HISTORY = ["tests/scenario/history.test.ts", "tests/scenario/history-crashes.test.ts"];

/** In what keeps history: snapshots, restores, schedules, containers held meanwhile. */
export const HISTORY_MUTANTS: readonly Mutant[] = [
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
    file: "src/services/snapshot-making.ts",
    before: "        await made;\n",
    after: "",
    breaks: "A snapshot is shown before the driver has it.",
    tests: HISTORY,
  },
  {
    name: "snapshot-finished-not-undone",
    file: "src/services/snapshot-making.ts",
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
    before: "      await this.#forget(taken, signal);\n",
    after: "",
    breaks: "A clone of a volume that failed leaves the snapshot that was taken for it.",
    tests: HISTORY,
  },
  {
    name: "origin-of-another-forgotten",
    file: "src/services/origins.ts",
    before: "    if (isUsed || this.#starting.has(id) ||",
    after: "    if ((isUsed && signal.aborted) ||",
    breaks: "A clone that failed takes along the snapshot that another one has been made from.",
    tests: HISTORY,
  },
  {
    name: "origin-shown-early",
    file: "src/services/snapshot-making.ts",
    before: "          when: { unchanged: [line], unchangedSnapshots: [begun] },\n",
    after:
      "          when: { unchangedSnapshots: [{ value: snapshot, revision: await records.write([putSnapshot(snapshot)]) }] },\n",
    breaks:
      "What was taken for a clone is shown before the clone is recorded, and may be taken back.",
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
