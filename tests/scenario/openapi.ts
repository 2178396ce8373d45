import { expect } from "vitest";
import { z } from "zod";

type Json = Readonly<Record<string, unknown>>;

/** The parts of an OpenAPI document that answers are held against. */
interface Document {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: Readonly<Record<string, Described>> }>>
    >
  >;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

interface Described {
  readonly content: Readonly<Record<string, { readonly schema: { readonly $ref?: string } }>>;
}

/** Holds answers against the document as a client would that knows nothing but the document. */
export class OpenApi {
  readonly document: Document;
  readonly #schemas = new Map<string, z.ZodType>();

  constructor(document: unknown) {
    this.document = document as Document;
  }

  /** Fails the test unless the document describes this answer. */
  check(method: string, url: string, status: number, type: string, body: string): void {
    const path = new URL(url, "http://lagan").pathname;
    const template = Object.keys(this.document.paths).find((one) => {
      return new RegExp(`^${one.replace(/\{\w+\}/g, "[^/]*")}$`).test(path);
    });
    const operation =
      template === undefined ? undefined : this.document.paths[template]?.[method.toLowerCase()];
    if (operation === undefined) {
      expect([404, 405], `${method} ${url} is not described`).toContain(status);
      this.valid("Problem", JSON.parse(body));
      return;
    }
    // Refused before any route: of any request, so not told with each.
    if ([413, 414, 415].includes(status)) {
      this.valid("Problem", JSON.parse(body));
      return;
    }
    const described = operation.responses[String(status)];
    expect(described, `${method} ${url} answered ${status}: ${body}`).toBeDefined();
    const media = type.split(";")[0] ?? "";
    const content = described?.content[media];
    expect(content, `${method} ${url} answered as ${type}`).toBeDefined();
    const name = content?.schema.$ref?.split("/").at(-1);
    if (name !== undefined) this.valid(name, JSON.parse(body));
  }

  /** Fails the test unless `value` is as the schema of this name says. */
  valid(name: string, value: unknown): void {
    const schema = this.#schemas.get(name) ?? this.#schemaOf(name);
    this.#schemas.set(name, schema);
    const result = schema.safeParse(value);
    expect(result.error, `${name}: ${JSON.stringify(value)}`).toBeUndefined();
  }

  #schemaOf(name: string): z.ZodType {
    const text = JSON.stringify({ ...this.document.components.schemas });
    const $defs = JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/"));
    return z.fromJSONSchema({ ...$defs[name], $defs });
  }
}
