import { expect, it } from "vitest";
import { parseDurationMs } from "./duration.ts";

it.each([
  ["0", 0],
  ["90s", 90_000],
  ["15m", 900_000],
  ["24h", 86_400_000],
  ["7d", 604_800_000],
])("reads %s as %d ms", (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

it.each(["", "h", "24", "-1h", "1.5h", "1h30m", "24 h", "1w", "1H"])("refuses %j", (text) => {
  expect(() => parseDurationMs(text)).toThrow(
    expect.objectContaining({ code: "invalid_argument" }),
  );
});
