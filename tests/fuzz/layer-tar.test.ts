import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { hostLayerTar } from "../../src/host/layer-tar.ts";
import { streamOf } from "../conformance/archive.ts";
import { describeTree } from "../conformance/rich-tree.ts";
import { damaged } from "./archives.ts";
import { LAYER_PROPERTIES, layerEntries } from "./layer-tars.ts";

/** Issue 5 asks for so many wherever no fuzzer is guided by coverage. */
const CASES = 100_000;
const APPLIED_CASES = 500;
/** Longest that one small layer may take on a busy machine. */
const TIMEOUT_MS = 20_000;

it.each(Object.keys(LAYER_PROPERTIES))(
  `${CASES} times: %s`,
  (name) => {
    const property = LAYER_PROPERTIES[name];
    if (property !== undefined) {
      fc.assert(property as fc.IProperty<unknown>, { numRuns: CASES });
    }
  },
  600_000,
);

it("what is applied, or fails, leaves everything outside as it was", async () => {
  const base = mkdtempSync(join(tmpdir(), "lagan-layer-fuzz-"));
  try {
    const outside = join(base, "outside");
    mkdirSync(join(outside, "d"), { recursive: true });
    writeFileSync(join(outside, "a"), "alive");
    const wanted = describeTree(outside);
    const ways = [outside, `${outside}/a`, `${outside}/d`, "../outside/a", "../../outside"];
    const property = fc.asyncProperty(damaged(layerEntries(ways)), async (bytes) => {
      const root = join(base, "root");
      mkdirSync(join(root, "d/d"), { recursive: true });
      writeFileSync(join(root, "d/a"), "below");
      try {
        const timeout = AbortSignal.timeout(TIMEOUT_MS);
        await hostLayerTar.apply(root, streamOf(bytes, 1000), { tarBytes: null }, timeout);
      } catch (thrown) {
        assert(thrown instanceof Failure, String(thrown));
        // Nothing that an archive says is our own fault, or the machine's.
        assert(!["internal", "data_loss"].includes(thrown.code), thrown.message);
        assert.match(thrown.message, /^Cannot apply (the layer|entry ".*" of the layer): /);
      } finally {
        rmSync(root, { recursive: true, force: true });
      }
      assert.deepEqual(describeTree(outside), wanted);
    });
    await fc.assert(property, { numRuns: APPLIED_CASES });
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}, 300_000);
