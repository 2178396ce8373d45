/**
 * A process that writes to a store until it is killed or the store fails: `node store-writer.ts PATH WRITERS`.
 *
 * It says on standard output `pid PID`. Then each writer counts its own key up, and says `ack WRITER COUNT` when a
 * count is written, and `lost WRITER COUNT CODE` when it is not or nobody knows, which is the writer's end. When all
 * have ended: `waited TURNS`, how often this process could look at the clock during the slowest write, and `after
 * CODE`, what a read gives then.
 */
import { setTimeout } from "node:timers/promises";
import { Failure } from "../../src/core/failure.ts";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";
import { HandClock } from "../conformance/hand-clock.ts";

const [path = "", writers = "1"] = process.argv.slice(2);
const store = await SqliteStore.open({ path, clock: new HandClock() });
process.stdout.write(`pid ${process.pid}\n`);

let turns = 0;
let mostTurns = 0;

async function count(writer: string): Promise<void> {
  const found = await store.get(writer);
  let revision = found?.modRevision ?? 0;
  for (let n = Number(found?.value ?? 0) + 1; ; n++) {
    const before = turns;
    try {
      const write = { do: "put", key: writer, value: `${n}` } as const;
      const result = await store.txn([{ key: writer, modRevision: revision }], [write]);
      if (!result.succeeded) throw new Error(`${writer} is written by somebody else`);
      revision = result.revision;
      process.stdout.write(`ack ${writer} ${n}\n`);
    } catch (thrown) {
      process.stdout.write(`lost ${writer} ${n} ${codeOf(thrown)}\n`);
      return;
    } finally {
      mostTurns = Math.max(mostTurns, turns - before);
    }
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Failure ? thrown.code : String(thrown);
}

let counting = true;
const looking = (async () => {
  for (; counting; turns++) await setTimeout(5);
})();
await Promise.all(Array.from({ length: Number(writers) }, (_, at) => count(`w${at}`)));
counting = false;
await looking;
process.stdout.write(`waited ${mostTurns}\n`);
const after = await store.get("w0").then(() => "answers", codeOf);
process.stdout.write(`after ${after}\n`);
await store.close();
