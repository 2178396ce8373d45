import assert from "node:assert/strict";
import fc from "fast-check";
import { parsePairs } from "../../src/cli/pairs.ts";
import { printable } from "../../src/cli/printable.ts";
import { parseTemplate } from "../../src/cli/template.ts";
import { parseDurationMs } from "../../src/core/duration.ts";
import { isId, parseId } from "../../src/core/id.ts";
import { parsePoolName, parseProfileName, parseVolumeName, quote } from "../../src/core/name.ts";
import { formatBytes, parseSizeBytes, SIZE_LIMIT_MIN_BYTES } from "../../src/core/size.ts";
import { isUtf8 } from "../../src/core/utf8.ts";
import { parseLabels, parseVolumeOptions } from "../../src/core/volume/options.ts";
import { parseBtrfsOptions } from "../../src/drivers/btrfs/options.ts";
import { formatLayerRecord, parseLayerRecord } from "../../src/drivers/shared/layer-record.ts";
import { parseConfig } from "../../src/host/config.ts";
import { parseMountInfo } from "../../src/host/mountinfo.ts";
import { ARCHIVE_PROPERTIES } from "./archives.ts";
import { DOOR_PROPERTIES } from "./doors.ts";
import { IMAGE_PROPERTIES } from "./images.ts";
import { LAYER_PROPERTIES } from "./layer-tars.ts";
import { type Property, parsed } from "./property.ts";
import { anyText, near, nearJson, objectNear } from "./texts.ts";

const OPTION_NAMES = [
  "size",
  "pool",
  "profile",
  "uid",
  "gid",
  "mode",
  "protect",
  "schedule",
  "keep",
  "label.a",
];
const optionValue = near(
  "10G",
  "1.5T",
  "15m",
  "last=2,daily=7",
  "default",
  "999",
  "0755",
  "true",
  "false",
  "text",
);

/** A size in tenths and less, exactly: whole number, digits after the point, unit. */
const exactSize = fc.record({
  whole: fc.nat(999_999),
  fraction: fc.stringMatching(/^\d{0,9}$/),
  unit: fc.constantFrom("", "K", "m", "G", "g", "T", "P", "KiB", "MB", "gB", "tb", "GI"),
});

function exactBytes({ whole, fraction, unit }: { whole: number; fraction: string; unit: string }) {
  const upper = unit.toUpperCase();
  const base = /^[KMGTP]B$/.test(upper) ? 1000n : 1024n;
  const power = BigInt(" KMGTP".indexOf(upper[0] ?? " "));
  const scale = 10n ** BigInt(fraction.length);
  const parts = (BigInt(whole) * scale + BigInt(fraction || "0")) * base ** power;
  return (parts + scale - 1n) / scale;
}

const layerId = fc.uuid({ version: 7 });
const layerRecord = fc.record(
  {
    kind: fc.constantFrom("active" as const, "view" as const),
    parent: fc.option(layerId),
    sizeBytes: fc.option(fc.nat()),
    committedAs: fc.option(layerId),
    committedFrom: fc.option(layerId),
  },
  { noNullPrototype: true },
);

/** Every parser by name. */
export const PROPERTIES: Readonly<Record<string, Property>> = {
  "volume names": fc.property(near("data", "my_volume.1-x", "x".repeat(128)), (text) => {
    const name = parsed(() => parseVolumeName(text));
    assert.equal(
      name !== undefined,
      /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}$/.test(text) && !/\n/.test(text),
    );
    if (name !== undefined) assert.equal(name, text);
  }),
  "pool and profile names": fc.property(near("default", "a", "fast-1", "x".repeat(63)), (text) => {
    for (const parse of [parsePoolName, parseProfileName]) {
      const name = parsed(() => parse(text));
      assert.equal(
        name !== undefined,
        /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(text) && !/\n/.test(text),
      );
    }
  }),
  ids: fc.property(near("01a1fc3a-5ba2-7cb9-a6d6-c092f3dd75b1"), (text) => {
    assert.equal(parsed(() => parseId(text)) !== undefined, isId(text));
  }),
  quotes: fc.property(anyText, (text) => {
    const quoted = quote(text);
    assert.match(quoted, /^"[^\p{Cc}\p{Cs}\u2028-\u202f\u200b-\u200f\ufeff]*"$/u);
    assert(quoted.length <= 6 * 81 + 2);
    if (text.length <= 80) assert.equal(JSON.parse(quoted), text);
  }),
  "what a terminal gets": fc.property(anyText, (text) => {
    assert.match(printable(text), /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]*$/u);
  }),
  sizes: fc.property(near("10G", "1.5T", "500m", "10GB", "1048576", "7.999P"), (text) => {
    const bytes = parsed(() => parseSizeBytes(text));
    if (bytes === undefined) return;
    assert(Number.isSafeInteger(bytes) && bytes >= SIZE_LIMIT_MIN_BYTES);
    assert.equal(parseSizeBytes(String(bytes)), bytes);
    assert.match(formatBytes(bytes), /^[\d.]{1,6} ([KMGTP]i)?B$/);
  }),
  "sizes are exact": fc.property(exactSize, (size) => {
    const exact = exactBytes(size);
    const { whole, fraction, unit } = size;
    const text = `${whole}${fraction === "" ? "" : `.${fraction}`}${unit}`;
    const bytes = parsed(() => parseSizeBytes(text));
    const inRange =
      exact >= BigInt(SIZE_LIMIT_MIN_BYTES) && exact <= BigInt(Number.MAX_SAFE_INTEGER);
    assert.equal(
      bytes === undefined ? undefined : BigInt(bytes),
      inRange ? exact : undefined,
      text,
    );
  }),
  durations: fc.property(near("24h", "7d", "0", "90s", "999999d"), (text) => {
    const durationMs = parsed(() => parseDurationMs(text));
    if (durationMs === undefined) return;
    assert(Number.isSafeInteger(durationMs) && durationMs >= 0 && durationMs % 1000 === 0);
  }),
  "durations are exact": fc.property(
    fc.nat(999_999),
    fc.constantFrom("s", "m", "h", "d"),
    (n, unit) => {
      const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 0;
      assert.equal(parseDurationMs(`${n}${unit}`), n * seconds * 1000);
    },
  ),
  "volume options": fc.property(objectNear(OPTION_NAMES, optionValue), (options) => {
    const read = parsed(() => parseVolumeOptions(options));
    if (read === undefined) return;
    // Nothing that was said is lost.
    const labels = Object.keys(read.labels).length;
    assert.equal(Object.keys(read).length - 1 + labels, Object.keys(options).length);
    assert.deepEqual(parseVolumeOptions(options), read);
  }),
  labels: fc.property(objectNear(["team", "a/b.c-d", "k".repeat(128)], anyText), (labels) => {
    const read = parsed(() => parseLabels(labels));
    if (read === undefined) return;
    assert.deepEqual(new Map(Object.entries(read)), new Map(Object.entries(labels)));
    assert.deepEqual(Object.keys(parseLabels(read)), Object.keys(read));
  }),
  configuration: fc.property(
    nearJson(
      objectNear(
        ["stateDir", "runDir", "pools", "profiles", "trash", "engines", "log", "defaultPool"],
        fc.oneof(
          near("/var/lib/lagan", "default", "unix:///x"),
          fc.array(near("unix:///run/docker.sock"), { maxLength: 3 }),
          objectNear(["driver", "keep", "level", "default"], near("auto", "24h", "info")),
          objectNear(["default", "db"], objectNear([...OPTION_NAMES, "driver"], optionValue)),
        ),
      ),
    ),
    (text) => {
      const config = parsed(() => parseConfig(text));
      if (config === undefined) return;
      for (const path of [config.stateDir, config.runDir, config.dockerPluginDir]) {
        assert.match(path, /^\/[^\0]*$/);
      }
      assert(config.trashKeepMs === null || Number.isSafeInteger(config.trashKeepMs));
      assert(config.pools.some(({ name }) => name === config.defaultPool));
    },
  ),
  "mount tables": fc.property(
    near(
      "36 27 0:31 /a\\040b /var/x rw,nosuid shared:1 master:2 - btrfs /dev/loop0 rw,subvol=/",
      "27 1 254:0 / / rw - ext4 /dev/vda rw",
    ),
    (text) => {
      for (const entry of parseMountInfo(text)) {
        assert.equal(typeof entry.mountPoint, "string");
        assert(Array.isArray(entry.options));
      }
    },
  ),
  "layer records": fc.property(layerRecord, layerId, (record, id) => {
    const layer = parseId<never>(id);
    assert.deepEqual(parseLayerRecord(layer, formatLayerRecord(record as never)), record);
  }),
  "damaged layer records": fc.property(layerId, nearJson(layerRecord), (id, text) => {
    parsed(() => parseLayerRecord(parseId(id), text));
  }),
  "options of btrfs pools": fc.property(
    objectNear(["device", "size"], near("/dev/sdb", "10G", "/dev/../etc")),
    (options) => {
      const source = parsed(() => parseBtrfsOptions(options));
      if (source?.kind === "device") assert.match(source.device, /^\/dev\/[^\s\0]+$/);
    },
  ),
  templates: fc.property(
    near("{{.Name}}\\t{{json .}}", "table {{.Name}}", "{{json .Name}}"),
    (text) => {
      const fields = { Name: { head: "NAME", text: ({ name }: { name: string }) => name } };
      const template = parsed(() => parseTemplate(text, fields));
      if (template === undefined) return;
      const shown = template.apply({ name: "da\u001bta" });
      // What escapes there are stood in the template.
      assert.equal(shown.split("\u001b").length, template.head.split("\u001b").length);
    },
  ),
  "KEY=VALUE": fc.property(
    fc.array(near("a=b", "a", "=", "__proto__=x"), { maxLength: 4 }),
    (words) => {
      const pairs = parsed(() => parsePairs("-o", words));
      if (pairs === undefined) return;
      assert.equal(Object.keys(pairs).length, words.length);
      assert(words.every((word) => Object.hasOwn(pairs, word.split("=")[0] ?? "")));
    },
  ),
  "text that UTF-8 can hold": fc.property(anyText, (text) => {
    assert.equal(isUtf8(text), Buffer.from(text).toString() === text);
  }),
  ...DOOR_PROPERTIES,
  ...ARCHIVE_PROPERTIES,
  ...LAYER_PROPERTIES,
  ...IMAGE_PROPERTIES,
};
