import fc from "fast-check";
import { expect, it } from "vitest";
import { parseVolumeName } from "../../core/name.ts";
import { formatVolume, parseCreate, parseMount, parseNamed } from "./codec.ts";

it.each([
  ["from docker volume create", '{"Name":"data","Opts":{"size":"10M"}}', 10 * 1024 ** 2],
  ["from docker run", '{"Name":"data","Opts":null}', undefined],
  ["from Podman", '{"Name":"data"}', undefined],
])("reads a creation %s", (_, body, sizeBytes) => {
  expect(parseCreate(body)).toMatchObject({
    ...{ kind: "volume", name: "data" },
    options: sizeBytes === undefined ? {} : { sizeBytes },
  });
});

it("takes a branch for one, and makes it only when it is asked to", () => {
  const branch = { kind: "branch", name: "data@dev", of: "data", branch: "dev" };
  expect(parseCreate('{"Name":"data@dev"}')).toEqual({ ...branch, make: false });
  const asked = { Name: "data@dev", Opts: { branch: "dev", from: "data@before" } };
  const from = { volume: "data", at: "before" };
  expect(parseCreate(JSON.stringify(asked))).toEqual({ ...branch, make: true, from });
});

it.each([
  ["", "its body is empty"],
  ["  \n", "its body is empty"],
  ["nonsense", "is not JSON"],
  ["[]", "the body"],
  ["null", "the body"],
  ["1", "the body"],
  ["{}", "Name"],
  ['{"name":"data"}', "Name"],
  ['{"Name":1}', "Name"],
  ['{"Name":""}', "volume name"],
  ['{"Name":"../escape"}', "volume name"],
  ['{"Name":"we/ird name"}', "volume name"],
  ['{"Name":"data","Opts":[]}', "Opts"],
  ['{"Name":"data","Opts":{"size":1}}', "Opts.size"],
  ['{"Name":"data","Opts":{"size":null}}', "Opts.size"],
  ['{"Name":"data","Opts":{"__proto__":"x"}}', '"__proto__" cannot be a key'],
  ['{"Name":"data","__proto__":{}}', '"__proto__" cannot be a key'],
  ['{"Name":"data","Opts":{"constructor":"x"}}', '"constructor": it is unknown'],
  ['{"Name":"data","Name":"other"}', '"Name" stands in it twice'],
  ['{"Name":"data","Opts":{"size":"1G","s\\u0069ze":"2G"}}', '"size" stands in it twice'],
  ['{"Name":"data","Opts":{"label.a":"\\ud800"}}', "half of a surrogate pair"],
  [`{"Name":"data","Opts":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "nested deeper"],
  ['{"Name":"data"} and more', "is not JSON"],
])("refuses creation %j and says why", (body, why) => {
  expect(() => parseCreate(body)).toThrow(
    expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(why) }),
  );
});

it.each([
  '{"Name":"data"}',
  '{"Name":"data","ID":""}',
  '{"Name":"data","ID":"a\\u0000b"}',
  '{"Name":"data","ID":7}',
])("refuses mount %j", (body) => {
  expect(() => parseMount(body)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
});

it("tells what to do with a snapshot, which is no volume", () => {
  expect(() => parseCreate('{"Name":"data@3f2c9a"}')).toThrow(
    expect.objectContaining({
      code: "invalid_argument",
      message: expect.stringContaining("lagan clone data@3f2c9a NAME"),
    }),
  );
  expect(parseNamed('{"Name":"data@dev"}')).toBe("data@dev");
  expect(() => parseNamed('{"Name":"data@a@b"}')).toThrow("give VOLUME");
});

it("answers any body with a name or a Failure", () => {
  const bodies = fc.oneof(
    fc.string(),
    fc.json(),
    fc.record({ Name: fc.string() }).map((v) => JSON.stringify(v)),
  );
  fc.assert(
    fc.property(bodies, (body) => {
      try {
        parseNamed(body);
      } catch (thrown) {
        expect(thrown).toMatchObject({ name: "Failure" });
      }
    }),
  );
});

it("never says an empty mountpoint, and says the time as RFC 3339", () => {
  const shown = formatVolume(
    {
      id: "019b76da-a800-75a8-996a-13855915cbc7" as never,
      name: parseVolumeName("data"),
      spec: {
        sizeBytes: null,
        pool: "default" as never,
        profile: null,
        uid: null,
        gid: null,
        mode: null,
        from: null,
      },
      labels: {},
      protection: null,
      branch: null,
      tip: null,
      head: "019b76da-a800-75a8-996a-13855915cbc8" as never,
      createdAt: 1_767_225_600_123,
      status: { state: "ready" },
    },
    {
      driver: "btrfs",
      health: "ok",
      mounts: 0,
      usage: undefined,
      snapshots: 2,
      mountpoint: undefined,
    },
  );
  expect(shown).not.toHaveProperty("Mountpoint");
  expect(shown.CreatedAt).toBe("2026-01-01T00:00:00.123Z");
  expect(shown.Status).toMatchObject({ size: "no limit", used: "not measured" });
});
