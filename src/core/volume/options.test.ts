import fc from "fast-check";
import { expect, it } from "vitest";
import { parseVolumeOptions } from "./options.ts";

it("reads every option", () => {
  expect(
    parseVolumeOptions({
      size: "10M",
      pool: "fast",
      profile: "db",
      uid: "999",
      gid: "0",
      mode: "2770",
      protect: "true",
      schedule: "15m",
      keep: "daily=7,hourly=24",
      "label.team": "shop",
      "label.com.example/x": "",
    }),
  ).toEqual({
    sizeBytes: 10 * 1024 ** 2,
    pool: "fast",
    profile: "db",
    uid: 999,
    everyMs: 900_000,
    keep: { hourly: 24, daily: 7 },
    gid: 0,
    mode: 0o2770,
    protect: true,
    labels: { "com.example/x": "", team: "shop" },
  });
});

it("takes nothing for nothing", () => {
  expect(parseVolumeOptions({})).toEqual({ labels: {} });
});

it.each([
  [
    { sise: "1G" },
    "allowed are size, pool, profile, uid, gid, mode, protect, schedule, keep, from, from-image, from-image-path, label.KEY",
  ],
  [{ Size: "1G" }, "unknown"],
  [{ "": "1" }, "unknown"],
  [{ __proto__x: "1" }, "unknown"],
  [{ size: "banana" }, "as a size"],
  [{ uid: "-1" }, "a number from 0"],
  [{ uid: "root" }, "a number from 0"],
  [{ uid: "4294967295" }, "a number from 0"],
  [{ gid: "1.5" }, "a number from 0"],
  [{ gid: "" }, "a number from 0"],
  [{ mode: "9" }, "octal"],
  [{ mode: "17777" }, "octal"],
  [{ mode: "rwx" }, "octal"],
  [{ protect: "yes" }, "true or false"],
  [{ pool: "../x" }, "pool name"],
  [{ profile: "A" }, "profile name"],
  [{ "label.": "x" }, "as a label"],
  [{ "label.a b": "x" }, "as a label"],
  [{ "label.-a": "x" }, "as a label"],
  [{ [`label.${"k".repeat(129)}`]: "x" }, "as a label"],
  [{ "label.a": "x\ny" }, "control characters"],
  [{ "label.a": "v".repeat(4097) }, "at most 4096"],
])("refuses %j and says why", (options, why) => {
  expect(() => parseVolumeOptions(options as Record<string, string>)).toThrow(
    expect.objectContaining({
      code: "invalid_argument",
      message: expect.stringContaining(why),
    }),
  );
});

it("refuses more than 64 labels", () => {
  const labels = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`label.k${i}`, ""]));
  expect(() => parseVolumeOptions(labels)).toThrow(
    expect.objectContaining({ code: "invalid_argument" }),
  );
});

it("answers any input with options or a Failure", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string()), (options) => {
      try {
        parseVolumeOptions(options);
      } catch (thrown) {
        expect(thrown).toMatchObject({ name: "Failure" });
      }
    }),
  );
});
