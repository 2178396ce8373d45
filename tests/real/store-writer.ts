/**
 * A process that writes to a store until it is killed or the store fails: `node store-writer.ts PATH WRITERS [NTH]`. Each
 * NTH count is durable at once, the others soon; 1 unless told.
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

const [path = "", writers = "1", nth = "1"] = process.argv.slice(2);
const store = await SqliteStore.open({ path, clock: new HandClock() });
await say(`pid ${process.pid}`);

let turns = 0;
let mostTurns = 0;

async function count(writer: string): Promise<void> {
  const found = await store.get(writer);
  let revision = found?.modRevision ?? 0;
  for (let n = Number(found?.value ?? 0) + 1; ; n++) {
    const before = turns;
    try {
      const write = { do: "put", key: writer, value: `${n}` } as const;
      const durable = n % Number(nth) === 0 ? "now" : "soon";
      const result = await store
        .txn([{ key: writer, modRevision: revision }], [write], { durable })
        .finally(() => {
          mostTurns = Math.max(mostTurns, turns - before);
        });
      if (!result.succeeded) throw new Error(`${writer} is written by somebody else`);
      revision = result.revision;
      await say(`ack ${writer} ${n}`);
    } catch (thrown) {
      await say(`lost ${writer} ${n} ${codeOf(thrown)}`);
      return;
    }
  }
}

/** Resolves when the line has left this process: one that waits in it when it is killed was never said. */
function say(line: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${line}\n`, () => resolve()));
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
await say(`waited ${mostTurns}`);
const after = await store.get("w0").then(() => "answers", codeOf);
await say(`after ${after}`);
await store.close();
