import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { z } from "zod";
import { Failure, type FailureCode } from "../../core/failure.ts";
import { parseStrictJson } from "../shared/json.ts";
import { parseWith } from "./codec.ts";
import { knownKeys } from "./openapi.ts";

/** A request as a route gets it, with query and body parsed. */
export interface RestRequest<Q, B> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Q;
  readonly body: B;
  readonly headers: IncomingHttpHeaders;
  /** The body of a row that takes a stream, as it comes. */
  readonly stream: AsyncIterable<Uint8Array>;
  /** Aborts when the client goes, and when it has its answer. */
  readonly gone: AbortSignal;
  /** Our end of the client's connection: `CallerFiles.take`. */
  readonly connection: object;
}

/** What a route answers: a JSON body, a text, or a stream that it writes itself until the client goes. */
export type RestAnswer =
  | {
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body: object;
    }
  | { readonly text: string; readonly type: string }
  | { readonly stream: (response: ServerResponse) => void };

/** One thing that can be asked: a row of the table that the server serves and the OpenAPI document describes. */
export interface RouteRow<Q, B> {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** With `{name}` where a value stands. */
  readonly path: string;
  /** What it does, one sentence. */
  readonly does: string;
  readonly query: z.ZodType<Q>;
  /** Null: it takes no body. */
  readonly body: z.ZodType<B> | null;
  /** True: no body at all is as `{}`. */
  readonly bodyOptional?: boolean;
  /** Media type of a body that is read as it comes, without a limit or a deadline. */
  readonly bodyStream?: string;
  /** True: it may take as long as it takes; a client that goes ends it. */
  readonly untimed?: boolean;
  /** True: it looks at `If-Match`. */
  readonly ifMatch?: boolean;
  /** Schema of the answer's body by status, or its content type. */
  readonly answers: Readonly<Record<number, z.ZodType | string>>;
  /** How it can fail, beside what every request can. */
  readonly fails: readonly FailureCode[];
  readonly work: (request: RestRequest<Q, B>, signal: AbortSignal) => Promise<RestAnswer>;
}

/** A request as it came. */
export interface RawRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
  readonly stream: AsyncIterable<Uint8Array>;
  readonly gone: AbortSignal;
  readonly connection: object;
}

/** A row whose types are behind it: it parses, then works. */
export interface Route extends Omit<RouteRow<unknown, unknown>, "work"> {
  /** @throws {Failure} `invalid_argument` for a query or body that is not as the row says; else what the work throws. */
  readonly serve: (request: RawRequest, signal: AbortSignal) => Promise<RestAnswer>;
}

/** Makes a row servable. */
export function route<Q, B = undefined>(row: RouteRow<Q, B>): Route {
  const { query, body, work } = row;
  const queryKeys = knownKeys(query);
  const bodyKeys = body === null ? [] : knownKeys(body);
  return {
    ...row,
    serve: async ({ query: rawQuery, body: text, ...request }, signal) => {
      const asked = parseWith(query, rawQuery, "the query", queryKeys);
      const given = parseBody(row, text, bodyKeys);
      return work({ ...request, query: asked, body: given }, signal);
    },
  };
}

function parseBody<Q, B>(row: RouteRow<Q, B>, text: string, known: readonly string[]): B {
  if (row.body === null) return undefined as B;
  const value = text === "" && row.bodyOptional === true ? {} : parseStrictJson(text);
  return parseWith(row.body, value, "the request body", known);
}

/** Revision that `If-Match` asks for; undefined: any. @throws {Failure} `invalid_argument` for what is no ETag of ours. */
export function parseIfMatch({ headers }: RestRequest<unknown, unknown>): number | undefined {
  const text = headers["if-match"]?.trim();
  if (text === undefined || text === "*") return undefined;
  const [, revision] = /^"(\d{1,15})"$/.exec(text) ?? [];
  if (revision !== undefined) return Number(revision);
  throw new Failure(
    "invalid_argument",
    'Cannot read If-Match: give one ETag as it was answered, such as "12", or *',
  );
}

/** @throws {Failure} `aborted` when `If-Match` asks for another revision than this. */
export function ensureIfMatch(
  request: RestRequest<unknown, unknown>,
  revision: number,
  noun: string,
): void {
  const asked = parseIfMatch(request);
  if (asked === undefined || asked === revision) return;
  throw new Failure(
    "aborted",
    `Cannot change the ${noun}: it was changed meanwhile; look at it again`,
  );
}
