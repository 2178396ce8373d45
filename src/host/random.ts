import { randomBytes, randomInt } from "node:crypto";
import type { Random } from "../core/ports/random.ts";

/** The machine's cryptographic generator. */
export const systemRandom: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  below: (limit) => randomInt(limit),
};
