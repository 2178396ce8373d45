import { parseArgs } from "node:util";
import fc from "fast-check";
import { PROPERTIES } from "./parsers.ts";

/*
 * npm run fuzz [-- --seconds N] [--only NAME] [--seed N]
 *
 * Runs every parser's property again and again, each time from a fresh seed, for as long as asked. Ends with 1 and the
 * command that repeats it when one does not hold.
 */

const RUNS = 1000;
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    only: { type: "string" },
    seed: { type: "string" },
  },
});
const names = Object.keys(PROPERTIES).filter((name) => (values.only ?? name) === name);
if (names.length === 0) throw new Error(`No parser "${values.only}": ${Object.keys(PROPERTIES)}`);
const deadline = Date.now() + Number(values.seconds) * 1000;
let runs = 0;
do {
  for (const name of names) {
    const seed = values.seed === undefined ? (Math.random() * 2 ** 32) | 0 : Number(values.seed);
    const details = fc.check(PROPERTIES[name] as fc.IProperty<unknown>, { numRuns: RUNS, seed });
    runs += details.numRuns;
    if (!details.failed) continue;
    process.stdout.write(`${fc.defaultReportMessage(details)}\n`);
    process.stdout.write(`to repeat: npm run fuzz -- --only '${name}' --seed ${seed}\n`);
    process.exit(1);
  }
} while (Date.now() < deadline && values.seed === undefined);
process.stdout.write(`${names.length} properties, ${runs} runs, none failed\n`);
