import fc from "fast-check";
import { expect, it } from "vitest";
import { formatTable } from "./table.ts";

it("puts cells under heads, in columns, without blanks at the ends", () => {
  expect(
    formatTable(
      ["NAME", "SIZE"],
      [
        ["data", "1 GiB"],
        ["a-longer-name", "none"],
      ],
      undefined,
    ),
  ).toBe("NAME            SIZE\ndata            1 GiB\na-longer-name   none\n");
});

it("shows the head alone when there is nothing", () => {
  expect(formatTable(["NAME", "SIZE"], [], 80)).toBe("NAME   SIZE\n");
});

it("cuts the longest column to the width of the terminal, and says so with …", () => {
  const text = formatTable(["NAME", "SIZE"], [["x".repeat(50), "1 GiB"]], 30);
  expect(text.split("\n")[1]).toBe(`${"x".repeat(21)}…   1 GiB`);
});

it("cuts equally long columns alike", () => {
  const text = formatTable(["A", "B"], [["x".repeat(50), "y".repeat(50)]], 43);
  expect(text.split("\n")[1]).toBe(`${"x".repeat(19)}…   ${"y".repeat(19)}…`);
});

it("counts wide characters as two cells and marks as none", () => {
  const [head, first, second] = formatTable(
    ["N", "S"],
    [
      ["数据", "|"],
      ["e\u0301", "|"],
    ],
    80,
  ).split("\n");
  expect(head).toBe("N      S");
  expect(first).toBe("数据   |");
  expect(second).toBe("e\u0301      |");
});

it("never lets a cell speak to the terminal", () => {
  expect(formatTable(["N"], [["a\u001b[31mb\nc"]], 80)).toBe("N\na\\u001b[31mb\\u000ac\n");
});

it("is never wider than asked as long as every column can keep 8 cells", () => {
  const cell = fc.string({ unit: fc.constantFrom("a", "b", " ", "x"), maxLength: 60 });
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }), (rows) => {
      for (const line of formatTable(["A", "B", "C"], rows, 40).split("\n")) {
        expect(line.length).toBeLessThanOrEqual(40);
      }
    }),
  );
});
