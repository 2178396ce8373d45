import fc from "fast-check";
import { expect, it } from "vitest";
import { Failure } from "../failure.ts";
import { type FieldOf, parseFilters } from "./filter.ts";

const info: FieldOf = ([first = "", ...rest]) => {
  const fields: Record<string, string> = { name: "k8s/1/a", parent: "", kind: "active" };
  const labels: Record<string, string> = { foo: "bar", "a/b.c": 'x"y', "a.b": "dotted", no: "" };
  return first === "labels" ? labels[rest.join(".")] : fields[first];
};

it.each([
  ["", true],
  ["name==k8s/1/a", true],
  ['name=="k8s/1/a",kind==active', true],
  ["name==other", false],
  ["name==other,kind==active", false],
  ['parent==""', true],
  ['parent!=""', false],
  ["labels.foo", true],
  ["labels.bar", false],
  ["labels.no", true],
  ["labels.a.b==dotted", true],
  ['labels."a/b.c"=="x\\"y"', true],
  ["labels.bar!=x", true],
  ["labels.foo!=bar", false],
  ["name~=^k8s", true],
  ["name~=/^k8s\\/1/", true],
  ["name~=|^k8s/[0-9]+/a$|", true],
  ["name~=x$", false],
  ["unknown", false],
  ['name=="\\u006b8s/1/a"', true],
] as const)("%s", (text, holds) => {
  expect(parseFilters([text])(info)).toBe(holds);
});

it("one of several filters is enough, and none lets everything through", () => {
  expect(parseFilters(["name==x", "kind==active"])(info)).toBe(true);
  expect(parseFilters(["name==x", "kind==view"])(info)).toBe(false);
  expect(parseFilters([])(info)).toBe(true);
});

it.each([
  "==x",
  "name==",
  "name=x",
  'labels."foo',
  "name==a b",
  "name,",
  "name~=(",
  "a..b",
  '"\\q"',
])("%s is refused", (text) => {
  expect(() => parseFilters([text])).toThrow(Failure);
});

it("whatever is written, it is a filter or refused, and a quoted value is taken as it is", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseFilters([text])(info);
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: "invalid_argument" });
      }
    }),
  );
  fc.assert(
    fc.property(fc.string(), (value) => {
      fc.pre(!value.includes("\n"));
      const text = value.replace(/[\\"]/g, "\\$&");
      expect(parseFilters([`name=="${text}"`])(() => value)).toBe(true);
    }),
  );
});
