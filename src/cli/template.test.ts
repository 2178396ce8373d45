import { describe, expect, it } from "vitest";
import { UsageError } from "./exit-code.ts";
import { type Fields, parseTemplate } from "./template.ts";

interface Item {
  readonly name: string;
  readonly size: number;
}

const fields: Fields<Item> = {
  Name: { head: "NAME", text: ({ name }) => name },
  Size: { head: "SIZE", text: ({ size }) => `${size} B` },
};
const item = { name: "da\u001bta", size: 5 };

describe("a template", () => {
  it.each([
    ["{{.Name}}", "da\\u001bta"],
    ["{{ .Name }}: {{.Size}}", "da\\u001bta: 5 B"],
    ["{{.Size}}\\t{{.Size}}\\n\\\\n", "5 B\t5 B\n\\n"],
    ["{{json .}}", '{"name":"da\\u001bta","size":5}'],
    ["{{json .Name}}", '"da\\u001bta"'],
    ["plain", "plain"],
    ["", ""],
  ])("%s", (text, shown) => {
    expect(parseTemplate(text, fields).apply(item)).toBe(shown);
  });

  it("with table in front has a head", () => {
    const template = parseTemplate("table {{.Name}}\\t{{.Size}}", fields);
    expect(template).toMatchObject({ table: true, head: "NAME\tSIZE" });
  });

  it.each([
    "{{.Nmae}}",
    "{{Name}}",
    "{{.Name",
    "}}",
    "{{range .}}",
    "{{.toString}}",
    "{{json .Nope}}",
    "{{}}",
  ])("%s is refused, and the fields are named", (text) => {
    expect(() => parseTemplate(text, fields)).toThrow(UsageError);
    expect(() => parseTemplate(text, fields)).toThrow(/fields are \.Name \.Size$/);
  });
});
