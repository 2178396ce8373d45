import type { Mutant } from "./mutant.ts";

const KEEPER = "src/stores/sqlite/keeper.ts";
const KEEPER_TESTS = ["src/stores/sqlite/keeper.test.ts"];

/** In what keeps records. */
export const STORE_MUTANTS: readonly Mutant[] = [
  {
    name: "soon-for-all",
    file: KEEPER,
    before: `      if (durable === "now") this.#log?.sync();\n`,
    after: "",
    breaks: "No change waits for the disk.",
    tests: KEEPER_TESTS,
  },
  {
    name: "seen-before-durable",
    file: KEEPER,
    before: `if (durable === "now") this.#mark?.note(revision);`,
    after: `this.#mark?.note(revision);`,
    breaks: "After a power cut a store is refused as set back.",
    tests: KEEPER_TESTS,
  },
  {
    name: "now-leaves-it-to-soon",
    file: "src/stores/sqlite/write-ahead.ts",
    before: "    clearTimeout(this.#soon);\n    this.#soon = undefined;\n    fdatasyncSync",
    after: "    if (this.#soon !== undefined) return;\n    fdatasyncSync",
    breaks:
      "A change that is durable at once is answered before what came before it is on the disk.",
    tests: ["tests/real/store-crash.test.ts"],
  },
  {
    name: "cut-takes-what-is-durable",
    file: "src/sim/store.ts",
    before: `    if (durable === "now") this.#disk.undurable.length = 0;\n`,
    after: "",
    breaks: "In the simulation a transaction that is durable carries none that came before it.",
    tests: ["src/sim/store.test.ts"],
  },
];
