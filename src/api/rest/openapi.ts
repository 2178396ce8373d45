import { z } from "zod";
import type { FailureCode } from "../../core/failure.ts";
import { DIFF_LINE } from "./history-schema.ts";
import type { Route } from "./route.ts";
import { COMPONENTS, EVENT, PROBLEM } from "./schema.ts";
import { HTTP_STATUS } from "./status.ts";

type Json = Readonly<Record<string, unknown>>;

/** How any request can fail. */
const ALWAYS: readonly FailureCode[] = ["invalid_argument", "internal", "deadline_exceeded"];

/** Names of the properties that an object of this schema may have. */
export function knownKeys(schema: z.ZodType): readonly string[] {
  return Object.keys(propertiesOf(schema));
}

/** The OpenAPI 3.1 document of `routes`, from the very schemas that hold requests and describe answers. */
export function openApiOf(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    paths[route.path] = {
      ...paths[route.path],
      [route.method.toLowerCase()]: operationOf(route),
    };
  }
  return {
    openapi: "3.1.1",
    info: {
      title: "Lagan",
      version,
      description:
        "Storage for containers that outlives them. Sizes are bytes, times RFC 3339 in UTC. A failure is a Problem (RFC 9457).",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://lagan", description: "unix socket /run/lagan/lagan.sock" }],
    paths,
    components: { schemas: componentSchemas() },
  };
}

function operationOf(route: Route): Json {
  const parameters = [...pathParameters(route), ...queryParameters(route)];
  if (route.ifMatch === true) {
    parameters.push({
      name: "If-Match",
      in: "header",
      required: false,
      description: "ETag of the volume as it was read; another by now: 412",
      schema: { type: "string" },
    });
  }
  return {
    operationId: operationId(route),
    summary: route.does,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === null
      ? {}
      : {
          requestBody: {
            required: route.bodyOptional !== true,
            content: { "application/json": { schema: refTo(route.body) } },
          },
        }),
    ...(route.bodyStream === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { [route.bodyStream]: { schema: { type: "string", format: "binary" } } },
          },
        }),
    responses: { ...answersOf(route), ...failuresOf(route) },
  };
}

/** `GET /v1/volumes/{name}/usage` → `getVolumesNameUsage`. */
function operationId({ method, path }: Route): string {
  const words = path.split(/[^a-z0-9]+/i).filter((word) => word !== "" && word !== "v1");
  const capitalized = words.map((word) => word[0]?.toUpperCase() + word.slice(1));
  return method.toLowerCase() + capitalized.join("");
}

function pathParameters({ path }: Route): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters({ query }: Route): Json[] {
  return Object.entries(propertiesOf(query)).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: false,
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

function answersOf({ answers }: Route): Json {
  return Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [
      status,
      typeof answer === "string"
        ? { description: "As text.", content: { [answer]: { schema: textOf(answer) } } }
        : {
            description: COMPONENTS.get(answer)?.description ?? "",
            content: { "application/json": { schema: refTo(answer) } },
          },
    ]),
  );
}

/** OpenAPI 3.1 has no word for the items of a stream; this is the one of 3.2. */
function textOf(type: string): Json {
  const item = { "text/event-stream": EVENT, "application/x-ndjson": DIFF_LINE }[type];
  const items = item === undefined ? {} : { "x-itemSchema": refTo(item) };
  return { type: "string", ...items };
}

function failuresOf({ fails, ifMatch }: Route): Json {
  const codes = new Map<number, string[]>();
  for (const code of [...ALWAYS, ...fails]) {
    codes.set(HTTP_STATUS[code], [...(codes.get(HTTP_STATUS[code]) ?? []), code]);
  }
  if (ifMatch === true) codes.set(412, ["aborted"]);
  const content = { "application/problem+json": { schema: refTo(PROBLEM) } };
  return Object.fromEntries(
    [...codes].map(([status, names]) => [status, { description: names.join(", "), content }]),
  );
}

function refTo(schema: z.ZodType): Json {
  return { $ref: `#/components/schemas/${COMPONENTS.get(schema)?.id}` };
}

function componentSchemas(): Json {
  const { schemas } = z.toJSONSchema(COMPONENTS, { uri: (id) => `#/components/schemas/${id}` });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]),
  );
}

function propertiesOf(schema: z.ZodType): Readonly<Record<string, Json>> {
  const { properties } = z.toJSONSchema(schema, { io: "output" });
  return (properties ?? {}) as Readonly<Record<string, Json>>;
}
