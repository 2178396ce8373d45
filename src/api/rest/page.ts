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

/** `items` in the order of their keys. Each key is made once: making them is most of what sorting 10,000 takes. */
export function inOrder<T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] {
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1));
  return keyed.map(({ item }) => item);
}

/** Found by halving. */
function firstAfter<T>(items: readonly T[], keyOf: (item: T) => string, after: string): number {
  let start = 0;
  let end = items.length;
  while (start < end) {
    const middle = Math.floor((start + end) / 2);
    const item = items[middle];
    if (item !== undefined && keyOf(item) > after) end = middle;
    else start = middle + 1;
  }
  return start;
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
