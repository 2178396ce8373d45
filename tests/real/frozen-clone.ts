import { hostKernel } from "../../src/host/kernel.ts";

/** A process of its own that clones while frozen, so that a test can kill it: FROZEN SOURCE TARGET. */
const [frozen = "", source = "", target = ""] = process.argv.slice(2);
await hostKernel.cloneFrozen([{ frozen, source, target }]);
