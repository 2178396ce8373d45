import { Failure } from "../../core/failure.ts";
import type { PageQuery } from "./query.ts";
import type { WirePage } from "./resource.ts";

/**
 * One page of `items`, which are ordered by `keyOf` (ascending, each key once). A token names the last item of
 * the page before, so items that come and go meanwhile make no other item appear twice or be passed over.
 *
 * @throws {Failure} `invalid_argument` for a token that is none of ours.
 */
export function takePage<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  { page_size: size, page_token: token }: PageQuery,
): WirePage<T> {
  const after = token === undefined ? undefined : parseToken(token);
  const start = after === undefined ? 0 : firstAfter(items, keyOf, after);
  const page = items.slice(start, start + size);
  const last = page.at(-1);
  const more = start + size < items.length && last !== undefined;
  return { items: page, nextPageToken: more ? formatToken(keyOf(last)) : null };
}

function firstAfter<T>(items: readonly T[], keyOf: (item: T) => string, after: string): number {
  const index = items.findIndex((item) => keyOf(item) > after);
  return index === -1 ? items.length : index;
}

function formatToken(key: string): string {
  return Buffer.from(`1:${key}`).toString("base64url");
}

function parseToken(token: string): string {
  const text = Buffer.from(token, "base64url").toString();
  if (!text.startsWith("1:") || formatToken(text.slice(2)) !== token) {
    throw new Failure(
      "invalid_argument",
      "Cannot read the query: page_token: give nextPageToken of the page before, as it was",
    );
  }
  return text.slice(2);
}
