import { expect, it } from "vitest";
import { chainIdsOf } from "./chain-id.ts";
import type { Digest } from "./digest.ts";
import { choosePlatform, parsePlatform } from "./platform.ts";
import { formatReference, parseReference } from "./reference.ts";

/* Examples of github.com/distribution/reference (normalize_test.go), read for their meaning. */
it.each([
  ["app", "docker.io", "library/app", "latest"],
  ["docker.io/app", "docker.io", "library/app", "latest"],
  ["index.docker.io/library/app:2", "docker.io", "library/app", "2"],
  ["me/app", "docker.io", "me/app", "latest"],
  ["localhost/app", "localhost", "app", "latest"],
  ["localhost:5000/team/app:v1.2", "localhost:5000", "team/app", "v1.2"],
  ["registry.example/a/b_c/d__e/f-g--h", "registry.example", "a/b_c/d__e/f-g--h", "latest"],
  ["Uppercase/app", "Uppercase", "app", "latest"],
  ["[::1]:5000/app", "[::1]:5000", "app", "latest"],
])("reads %s as Docker does", (text, registry, repository, tag) => {
  expect(parseReference(text)).toEqual({ registry, repository, tag, digest: null });
});

it.each([
  "",
  ":tag",
  "/app",
  "app/",
  "App",
  "a//b",
  "a..b",
  "a___b",
  "app:",
  "app:-x",
  "app@sha256:12",
  "-a.b/c",
  "https://a/b",
  "0".repeat(64),
  `a/${"x".repeat(256)}`,
  `app:${"t".repeat(129)}`,
])("refuses %s", (text) => {
  expect(() => parseReference(text)).toThrow("as the name of an image");
});

it("takes a digest without a tag, and shows short what Docker shows short", () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  expect(parseReference(`app@${digest}`)).toMatchObject({ tag: null, digest });
  expect(formatReference(parseReference("docker.io/library/app:1"))).toBe("app:1");
  expect(formatReference(parseReference("docker.io/me/app:1"))).toBe("me/app:1");
  expect(formatReference(parseReference("localhost/app:1"))).toBe("localhost/app:1");
});

it("chooses what runs best on a machine", () => {
  const choose = (wanted: string, ...choices: string[]) =>
    choosePlatform(parsePlatform(wanted), choices, parsePlatform);
  expect(choose("linux/amd64", "linux/arm64", "linux/amd64")).toBe("linux/amd64");
  expect(choose("linux/arm64", "linux/arm64/v8")).toBe("linux/arm64/v8");
  expect(choose("linux/arm/v7", "linux/arm/v5", "linux/arm/v6")).toBe("linux/arm/v6");
  expect(choose("linux/arm/v6", "linux/arm/v7")).toBeUndefined();
  expect(choose("linux/amd64", "linux/amd64/v3", "linux/amd64")).toBe("linux/amd64");
  expect(choose("linux/amd64", "windows/amd64")).toBeUndefined();
});

it("makes a chain of layers, of which each id tells all below it", () => {
  const ids = ["sha256:a", "sha256:b", "sha256:c"] as Digest[];
  expect(chainIdsOf(ids, (text) => `<${text}>` as Digest)).toEqual([
    "sha256:a",
    "<sha256:a sha256:b>",
    "<<sha256:a sha256:b> sha256:c>",
  ]);
});
