import { beforeEach, expect, it } from "vitest";
import { parseProfileName, parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { parseProfile } from "../../src/core/volume/profile.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

const { signal } = new AbortController();
const db = parseProfileName("db");
const gold = parseProfileName("gold");
const data = parseVolumeName("data");
const profile = parseProfile({ size: "10M", schedule: "15m", keep: "hourly=24", "label.a": "b" });

let world: World;
let node: Node;

beforeEach(async () => {
  world = new World();
  world.settings = { ...world.settings, profiles: new Map([[gold, parseProfile({ uid: "7" })]]) };
  node = await world.boot();
});

it("a profile made by command is there after a restart, beside those of the configuration", async () => {
  await node.services.profiles.create(db, profile);
  node = await world.boot();
  expect(await node.services.profiles.list()).toMatchObject([
    { name: "db", profile, createdAt: expect.any(Number) },
    { name: "gold", profile: { uid: 7 }, createdAt: null },
  ]);
});

it("gives a volume its options and its schedule, which stay when it is removed", async () => {
  const { profiles, volumes } = node.services;
  await profiles.create(db, profile);
  await volumes.create(data, parseVolumeOptions({ profile: "db" }), signal);
  await profiles.remove(db);
  expect((await volumes.get(data)).value).toMatchObject({
    spec: { sizeBytes: 10 * 1024 ** 2, profile: "db" },
    schedule: { everyMs: 900_000, keep: { hourly: 24 } },
    labels: { a: "b" },
  });
  await expect(profiles.get(db)).rejects.toMatchObject({
    code: "not_found",
    message: expect.stringContaining("there is: gold"),
  });
});

it("a volume's own options win over its profile's, also to have no schedule", async () => {
  const { profiles, volumes } = node.services;
  await profiles.create(db, profile);
  const create = async (name: string, options: Record<string, string>) => {
    const all = parseVolumeOptions({ profile: "db", ...options });
    return (await volumes.create(parseVolumeName(name), all, signal)).value.schedule;
  };
  expect(await create("v1", { schedule: "1h" })).toEqual({
    everyMs: 3_600_000,
    keep: { hourly: 24 },
  });
  expect(await create("v2", { keep: "all" })).toEqual({ everyMs: 900_000, keep: null });
  expect(await create("v3", { schedule: "none" })).toBe(null);
});

it("the same again is success, another of the name is refused", async () => {
  const { profiles } = node.services;
  const made = await profiles.create(db, profile);
  const again = parseProfile({ "label.a": "b", keep: "hourly=24", schedule: "15m", size: "10M" });
  expect(await profiles.create(db, again)).toEqual(made);
  await expect(profiles.create(db, parseProfile({}))).rejects.toMatchObject({
    code: "already_exists",
    message: expect.stringContaining("remove it first"),
  });
});

it("one of the configuration is neither overwritten nor removed by command", async () => {
  const { profiles } = node.services;
  await expect(profiles.create(gold, profile)).rejects.toMatchObject({
    code: "already_exists",
    message: expect.stringContaining("lagan.yaml"),
  });
  await expect(profiles.remove(gold)).rejects.toMatchObject({
    code: "failed_precondition",
    message: expect.stringContaining("lagan.yaml"),
  });
});

it("what no volume could have is refused", async () => {
  const { profiles } = node.services;
  await expect(profiles.create(db, parseProfile({ pool: "nowhere" }))).rejects.toMatchObject({
    code: "not_found",
  });
  expect(() => parseProfile({ keep: "daily=7" })).toThrow(/keep without a schedule/);
  expect(() => parseProfile({ profile: "gold" })).toThrow(/cannot have a profile/);
  expect(await profiles.list()).toHaveLength(1);
});

it("the same request for a volume is success after its profile was changed or removed", async () => {
  const { profiles, volumes } = node.services;
  await profiles.create(db, profile);
  const asked = parseVolumeOptions({ profile: "db", uid: "5" });
  const made = await volumes.create(data, asked, signal);
  await profiles.remove(db);
  expect((await volumes.create(data, asked, signal)).value.id).toBe(made.value.id);
  await profiles.create(db, parseProfile({ size: "20M" }));
  expect((await volumes.create(data, asked, signal)).value.id).toBe(made.value.id);
  const other = volumes.create(data, { ...asked, uid: 6 }, signal);
  await expect(other).rejects.toMatchObject({ code: "already_exists" });
});
