import { randomBytes, randomInt } from "node:crypto";
import type { Random } from "../core/ports/random.ts";

/** How much is asked of the generator at once: to ask costs as much as some kilobytes do. */
const POOL_BYTES = 4_096;

let pool = Buffer.alloc(0);

/** The machine's cryptographic generator. */
export const systemRandom: Random = {
  bytes: (count) => {
    if (count > pool.length) pool = randomBytes(Math.max(count, POOL_BYTES));
    const taken = new Uint8Array(pool.subarray(0, count));
    pool = pool.subarray(count);
    return taken;
  },
  below: (limit) => randomInt(limit),
};
