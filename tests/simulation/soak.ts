import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { formatViolation, runSchedule } from "./run.ts";

/*
 * npm run soak                             ten minutes of new seeds
 * npm run soak -- --seconds 60             as long as asked
 * npm run soak -- --from 1 --count 1000    these seeds
 * npm run soak -- --seed 42                one seed, twice: what it finds, and whether it is the same again
 */
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    seed: { type: "string" },
    from: { type: "string" },
    count: { type: "string" },
  },
});

// Most failures are injected ones that nobody reads; of a seed that fails, the stack is shown when it is run alone.
if (values.seed === undefined) Error.stackTraceLimit = 0;

const REPORT_EVERY_MS = 30_000;
/** Each so many schedules one is run again, and must go the same way. */
const TWICE_EVERY = 500;

const say = (line: string): void => {
  writeSync(1, `${line}\n`);
};

const seed = values.seed === undefined ? undefined : Number(values.seed);
const first = seed ?? Number(values.from ?? Date.now());
const bounded = values.count ?? (values.from === undefined ? undefined : "1000");
const count = seed === undefined ? Number(bounded ?? Number.POSITIVE_INFINITY) : 1;
const began = performance.now();
const endsAt = began + Number(values.seconds) * 1000;
const total = { schedules: 0, operations: 0, requests: 0, simulatedMs: 0, failed: 0 };
let nextReport = began + REPORT_EVERY_MS;

function report(): void {
  const seconds = (performance.now() - began) / 1000;
  const cpu = process.cpuUsage();
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  say(
    [
      `${total.schedules} schedules, ${(total.simulatedMs / 3_600_000).toFixed(1)} simulated hours`,
      `${total.operations} simulated operations (${total.requests} requests)`,
      `${Math.round(total.operations / cpuSeconds)} a second of one core (${Math.round(total.operations / seconds)} on the clock)`,
      `${total.failed} schedules with violations`,
    ].join(", "),
  );
}

for (let at = first; at < first + count; at++) {
  if (count === Number.POSITIVE_INFINITY && performance.now() > endsAt) break;
  const outcome = await runSchedule(at);
  total.schedules++;
  total.operations += outcome.operations;
  total.requests += outcome.requests;
  total.simulatedMs += outcome.simulatedMs;
  const wrong = outcome.violations.map(formatViolation);
  if (seed !== undefined || total.schedules % TWICE_EVERY === 0) {
    const again = await runSchedule(at);
    if (again.hash !== outcome.hash) wrong.push("two runs of this seed differ");
  }
  if (wrong.length > 0) {
    total.failed++;
    say(`seed ${at} fails; to see it again: npm run soak -- --seed ${at}`);
    for (const line of wrong.slice(0, 5)) say(`  ${line}`);
  }
  if (performance.now() > nextReport) {
    report();
    nextReport += REPORT_EVERY_MS;
  }
}
report();
process.exitCode = total.failed > 0 ? 1 : 0;
