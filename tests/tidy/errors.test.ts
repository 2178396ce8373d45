import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { WHEN_ASKED_FOR_A_VOLUME } from "../../src/api/docker-volume/status.ts";
import { HTTP_STATUS } from "../../src/api/rest/status.ts";
import { EXIT_CODE } from "../../src/cli/exit-code.ts";
import type { FailureCode } from "../../src/core/failure.ts";

it("docs/errors.md says of every code what the doors really answer", () => {
  const rows = readFileSync("docs/errors.md", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim()));
  expect(rows.map(([, code]) => code).sort()).toEqual(
    Object.keys(HTTP_STATUS)
      .map((code) => `\`${code}\``)
      .sort(),
  );
  for (const [, quoted = "", , http = "", exit, docker] of rows) {
    const code = quoted.slice(1, -1) as FailureCode;
    expect(http.split(", ")[0], code).toBe(String(HTTP_STATUS[code]));
    expect(exit, code).toBe(String(EXIT_CODE[code]));
    const asked = WHEN_ASKED_FOR_A_VOLUME[code] === "answer" ? "`Err`" : "hangs up";
    expect(docker, code).toBe(asked);
  }
});

it("every exit code is its own, and none is the shell's or the usage error's", () => {
  const codes = Object.values(EXIT_CODE);
  expect(new Set(codes).size).toBe(codes.length);
  for (const code of codes) expect(code > 2 && code < 126).toBe(true);
});
