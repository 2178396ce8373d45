import { describe, it } from "vitest";
import { kernelFreeze } from "./kernel-freeze.ts";
import type { Check, KernelGiven } from "./kernel-given.ts";
import { kernelFileSystems, kernelLoops } from "./kernel-loops.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import { kernelQuotas } from "./kernel-quotas.ts";
import { kernelSubvolumes } from "./kernel-subvolumes.ts";

/** How the suite gets at a machine with a kernel. */
export interface KernelHarness {
  readonly fresh: () => Promise<KernelGiven>;
}

/** Holds a form of `Kernel` to its numbered sentences. */
export function kernelConformance(name: string, harness: KernelHarness): void {
  const check: Check = (title, body) => {
    it(title, async () => {
      const given = await harness.fresh();
      try {
        await body(given);
      } finally {
        await given.cleanup();
      }
    });
  };
  describe(`Kernel, mounts: ${name}`, () => kernelMounts(check));
  describe(`Kernel, file systems and loop devices: ${name}`, () => {
    kernelFileSystems(check);
    kernelLoops(check);
    kernelFreeze(check);
  });
  describe(`Kernel, subvolumes: ${name}`, () => {
    kernelSubvolumes(check);
    kernelQuotas(check);
  });
}
