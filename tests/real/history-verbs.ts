import { readFile } from "node:fs/promises";
import type { Machine } from "./machine.ts";
import { contentOf, type NodeTeller } from "./node-teller.ts";

/** What a user does, from what state, and what there is before and after. */
export interface Verb {
  readonly prepare: () => Promise<unknown>;
  readonly act: () => Promise<unknown>;
  /** What {@link NodeTeller.tell} says. */
  readonly undone: string;
  readonly done: string;
  /** How many layers there are. */
  readonly layers: { readonly undone: number; readonly done: number };
  /** False: acting again when it is done would do it a second time. */
  readonly repeats: boolean;
}

/** The verbs of history. */
export const HISTORY_VERBS = [
  ...["snapshot create", "snapshot rm", "trash rm of a snapshot", "restore"],
  ...["clone of a snapshot", "clone of what is there now", "branch create", "resize", "import"],
  "trash empty",
] as const;
export type HistoryVerb = (typeof HISTORY_VERBS)[number];

const DATA = "/v1/volumes/data";
const GROWN_BYTES = 32 * 1024 ** 2;

/** Each of them; acting again when it is done already is success, unless it says otherwise. */
export function historyVerbs(
  machine: Machine,
  node: NodeTeller,
  { limited }: { readonly limited: boolean },
): Readonly<Record<HistoryVerb, Verb>> {
  const options = limited ? { size: "16M" } : {};
  const limit = limited ? " 16M" : "";
  const withVolume = async () => {
    await node.rest("POST", "/v1/volumes", { name: "data", options });
    await node.write("data", "old");
  };
  const take = (asGood: readonly number[] = []) =>
    node.rest("POST", `${DATA}/snapshots`, { name: "before" }, asGood);
  const withSnapshot = async () => {
    await withVolume();
    await take();
    await node.write("data", "new");
  };
  const withTrashed = async () => {
    await withSnapshot();
    await node.rest("DELETE", `${DATA}/snapshots/before`);
  };
  const create = (from: string) =>
    node.rest("POST", "/v1/volumes", { name: "copy", options: { from } });
  const importing = async () => {
    const query = limited ? "?option=size%3D16M" : "";
    await node.rest("POST", `/v1/volumes/copy/import${query}`, await archive(machine), [409]);
  };
  const one = `data${limit} new [before old]`;
  return {
    "snapshot create": {
      ...{ prepare: withVolume, act: () => take([409]), repeats: true },
      ...{ undone: `data${limit} old`, done: `data${limit} old [before old]` },
      layers: { undone: 1, done: 2 },
    },
    "snapshot rm": {
      ...{ prepare: withSnapshot, repeats: true },
      act: () => node.rest("DELETE", `${DATA}/snapshots/before`, undefined, [404]),
      ...{ undone: one, done: `data${limit} new (before)`, layers: { undone: 2, done: 2 } },
    },
    "trash rm of a snapshot": {
      ...{ prepare: withTrashed, repeats: true },
      act: () => node.rest("DELETE", "/v1/trash-snapshots/data@before", undefined, [404]),
      ...{ undone: `data${limit} new (before)`, done: `data${limit} new` },
      layers: { undone: 2, done: 1 },
    },
    restore: {
      ...{ prepare: withSnapshot, repeats: false },
      act: () => node.rest("POST", `${DATA}/restore`, { snapshot: "before" }),
      ...{ undone: one, done: `data${limit} old [before old] [restore new]` },
      layers: { undone: 2, done: 3 },
    },
    "clone of a snapshot": {
      ...{ prepare: withSnapshot, act: () => create("data@before"), repeats: true },
      ...{ undone: one, done: `copy${limit} old; ${one}`, layers: { undone: 2, done: 3 } },
    },
    "clone of what is there now": {
      ...{ prepare: withVolume, act: () => create("data"), repeats: true },
      ...{ undone: `data${limit} old`, done: `copy${limit} old; data${limit} old [clone old]` },
      layers: { undone: 1, done: 3 },
    },
    "branch create": {
      ...{ prepare: withSnapshot, repeats: true },
      act: () => node.rest("POST", `${DATA}/branches`, { name: "dev", from: "data@before" }),
      ...{ undone: one, done: `${one}; data@dev${limit} old`, layers: { undone: 2, done: 3 } },
    },
    resize: {
      ...{ prepare: withSnapshot, repeats: true },
      act: () => node.rest("PATCH", DATA, { sizeBytes: GROWN_BYTES }),
      ...{ undone: one, done: "data 32M new [before old]", layers: { undone: 2, done: 2 } },
    },
    import: {
      ...{ prepare: withVolume, act: importing, repeats: true },
      ...{ undone: `data${limit} old`, done: `copy${limit} old; data${limit} old` },
      layers: { undone: 1, done: 2 },
    },
    "trash empty": {
      prepare: async () => {
        await withTrashed();
        await take();
        await node.rest("DELETE", DATA);
      },
      act: () => node.rest("DELETE", "/v1/trash"),
      ...{ undone: "trashed data", done: "", layers: { undone: 3, done: 0 }, repeats: true },
    },
  };
}

/** A tar with the file that "old" stands for. */
async function archive(machine: Machine): Promise<string> {
  const directory = machine.path("archive");
  await machine.run(["mkdir", "-p", directory]);
  const script = `cat >${directory}/file && tar -C ${directory} -cf ${directory}.tar ./file`;
  await machine.run(["sh", "-c", script], { input: contentOf("old") });
  return readFile(`${directory}.tar`, "latin1");
}
