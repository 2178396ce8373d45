import { expect, it } from "vitest";
import { formatChange, parseApply, parseCall, parseCreation, parseInit } from "./codec.ts";

it("reads a creation as Docker sends it", () => {
  const plain = parseCreation('{"ID":"3f2c-init","Parent":"9a"}');
  expect(plain).toEqual({ id: "3f2c-init", parent: "9a", sizeBytes: null });
  const sized = parseCreation('{"ID":"3f2c","StorageOpt":{"size":"10M"}}');
  expect(sized).toEqual({ id: "3f2c", parent: null, sizeBytes: 10 * 1024 ** 2 });
});

it("takes a missing parent and an empty one for none", () => {
  expect(parseCall('{"ID":"a"}').parent).toBeNull();
  expect(parseCall('{"ID":"a","Parent":""}').parent).toBeNull();
  expect(parseApply({ id: "a", parent: "" })).toEqual({ id: "a", parent: null });
});

it("reads the first call of Docker 20.10", () => {
  const body = '{"Home":"/var/lib/docker/lagan","Opts":null,"UIDMaps":null,"GIDMaps":null}';
  expect(parseInit(body)).toEqual({ home: "/var/lib/docker/lagan" });
});

it.each([
  ["an id twice", { id: ["a", "b"] }],
  ["no id", {}],
  ["an id that leads elsewhere", { id: "../a" }],
])("refuses a stream for %s", (_, query) => {
  expect(() => parseApply(query)).toThrow(/as the id of a layer/);
});

it("writes changes with Docker's numbers, and names as they are", () => {
  expect(formatChange({ path: "etc/a", kind: "modified" })).toEqual({ Path: "/etc/a", Kind: 0 });
  expect(formatChange({ path: "100%25", kind: "added" })).toEqual({ Path: "/100%", Kind: 1 });
  expect(formatChange({ path: "old", kind: "removed" })).toEqual({ Path: "/old", Kind: 2 });
});
