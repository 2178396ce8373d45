import type { z } from "zod";
import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { parseStrictJson } from "./json.ts";

/**
 * The body of a call of Docker's plugin protocol.
 *
 * @throws {Failure} `invalid_argument` when it is empty (Docker repeats a call whose connection broke with an empty
 * body, and takes an answer without error for success), is not JSON, or not as `schema` says.
 */
export function parsePluginBody<T>(schema: z.ZodType<T>, body: string): T {
  if (body.trim() === "") {
    throw new Failure(
      "invalid_argument",
      "Cannot read the request: its body is empty (an engine repeats a broken call so); nothing was done",
    );
  }
  const result = schema.safeParse(parseStrictJson(body));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.map((key) => quoteKey(String(key))).join(".") || "the body";
  throw new Failure(
    "invalid_argument",
    `Cannot read the request: ${where}: ${issue?.message ?? "is wrong"}`,
  );
}

function quoteKey(key: string): string {
  return /^[\w.-]{1,64}$/.test(key) ? key : quote(key);
}
