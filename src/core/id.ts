import { Failure } from "./failure.ts";
import { quote } from "./name.ts";
import type { Clock } from "./ports/clock.ts";
import type { Random } from "./ports/random.ts";

declare const brand: unique symbol;

/** Identity of a volume for as long as it exists, whatever its name. A UUIDv7 (RFC 9562). */
export type VolumeId = string & { readonly [brand]: "VolumeId" };
/** Identity of a layer in a storage driver. A UUIDv7. */
export type LayerId = string & { readonly [brand]: "LayerId" };
/** Identity of a snapshot. A UUIDv7. */
export type SnapshotId = string & { readonly [brand]: "SnapshotId" };
/** Identity of an operation. A UUIDv7. */
export type OperationId = string & { readonly [brand]: "OperationId" };
/** Identity of one time that containers are stopped, paused or between their hooks. A UUIDv7. */
export type QuietId = string & { readonly [brand]: "QuietId" };

/** Token of one time that a volume is given to a node. A UUIDv7, so that a later one sorts after an earlier. */
export type AttachmentToken = string & { readonly [brand]: "AttachmentToken" };

type Id = VolumeId | LayerId | SnapshotId | OperationId | QuietId | AttachmentToken;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A new UUIDv7: 48 bits of wall-clock milliseconds, so that ids sort by age, then 74 random bits. */
export function newId<T extends Id>(clock: Clock, random: Random): T {
  const bytes = random.bytes(16);
  let ms = clock.now();
  for (let index = 5; index >= 0; index--) {
    bytes[index] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  let id = "";
  for (const [at, byte] of bytes.entries()) {
    id += `${at === 4 || at === 6 || at === 8 || at === 10 ? "-" : ""}${HEX[byte]}`;
  }
  return id as T;
}

/** True when `text` has the form of every id here. */
export function isId(text: string): text is Id & string {
  return UUID_V7.test(text);
}

/** @throws {Failure} `invalid_argument` when `text` is not an id. */
export function parseId<T extends Id>(text: string): T {
  if (!isId(text)) {
    throw new Failure("invalid_argument", `Cannot use ${quote(text)} as an id: it is not a UUIDv7`);
  }
  return text as T;
}
