import { expect, it } from "vitest";
import { type LayerId, parseId } from "../../core/id.ts";
import { Book, freeName, type Head, isOurs, layerOfSnapshot, parseHead } from "./book.ts";
import {
  formatLayerProperty,
  LAYER_PROPERTY,
  type LayerProperty,
  parseLayerProperty,
} from "./layer-property.ts";

const [A, B, C] = [1, 2, 3].map((n) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${n}`),
) as [LayerId, LayerId, LayerId];
const ACTIVE: LayerProperty = { state: "active", id: A, first: A, parent: C };

function head(property: Head["property"], rest: Partial<Head> = {}): Head {
  return {
    ...{ name: A, property, origin: null, limitBytes: null, readOnly: false },
    ...{ snapshots: [], deferred: [] },
    ...rest,
  };
}

it("reads the property that it writes, and no other text", () => {
  expect(parseLayerProperty(formatLayerProperty(ACTIVE))).toEqual(ACTIVE);
  // zfs(8) takes values of up to 1024 bytes, 8192 in newer versions.
  expect(formatLayerProperty({ ...ACTIVE, state: "committed", parent: C }).length).toBeLessThan(
    300,
  );
  for (const text of [
    "",
    "{}",
    "[]",
    "null",
    "x",
    '{"format":2}',
    `{"format":1,"state":"active"}`,
  ]) {
    expect(parseLayerProperty(text)).toBeUndefined();
  }
});

it("reads a dataset from its properties", () => {
  const values = new Map([
    ["origin", `tank/lagan/${B}@${C}`],
    ["refquota", "4194304"],
    ["readonly", "off"],
    [LAYER_PROPERTY, formatLayerProperty(ACTIVE)],
  ]);
  const read = parseHead("tank/lagan", A, values);
  expect(read).toEqual(head(ACTIVE, { origin: `${B}@${C}`, limitBytes: 4194304 }));
  expect(parseHead("tank/lagan", A, new Map([[LAYER_PROPERTY, "?"]])).property).toBe("damaged");
  expect(parseHead("tank/lagan", A, new Map([[LAYER_PROPERTY, "-"]])).property).toBeUndefined();
});

it("tells a dataset and its snapshots as layers, and an administrator's snapshots not", () => {
  const snapshots = [`${B}.2`, "source", "daily-1"];
  const book = new Book([head(ACTIVE, { snapshots, deferred: [B, C], limitBytes: 5 })]);
  expect(book.layers().map(({ info }) => info)).toEqual([
    { id: A, kind: "active", parent: C, sizeBytes: 5 },
    { id: B, kind: "committed", parent: C, sizeBytes: null },
  ]);
  expect(book.find(B)?.record.committedFrom).toBe(A);
});

it("keeps the snapshots of a removed layer", () => {
  const book = new Book([head({ ...ACTIVE, state: "removed" }, { snapshots: [B] })]);
  expect(book.layers().map(({ info }) => info.id)).toEqual([B]);
});

it("tells no layer that is being made, or whose property is damaged", () => {
  const book = new Book([head(undefined), head("damaged", { name: `${A}.2`, snapshots: [B] })]);
  expect(book.layers()).toEqual([]);
  expect(book.damaged()).toEqual([`${A}.2`]);
});

it("follows changes", () => {
  const book = new Book([head(ACTIVE)]);
  expect(book.find(B)).toBeUndefined();
  book.patch(A, { property: { ...ACTIVE, state: "committed", id: B } });
  expect(book.find(B)?.info.kind).toBe("committed");
  expect(book.find(A)).toBeUndefined();
  book.patch(B, { readOnly: true });
  book.drop(A);
  expect(book.layers()).toEqual([]);
});

it("knows its own names", () => {
  for (const name of [A, `${A}.2`, `${A}.reader`]) expect(isOurs(name)).toBe(true);
  for (const name of ["anchor", "data", `${A}x`, `${A}.old`, ""]) expect(isOurs(name)).toBe(false);
  for (const name of [A, `${A}.2`]) expect(layerOfSnapshot(name)).toBe(A);
  for (const name of ["source", "daily", `${A}.old`]) {
    expect(layerOfSnapshot(name)).toBeUndefined();
  }
  expect(freeName("x", (name) => ["x", "x.2"].includes(name))).toBe("x.3");
});
