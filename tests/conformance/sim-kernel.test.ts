import type { Kernel } from "../../src/core/ports/kernel.ts";
import { type MachineOptions, SimMachine } from "../../src/sim/machine.ts";
import { kernelConformance } from "./kernel.ts";
import type { KernelGiven } from "./kernel-given.ts";

const IMAGE_BYTES = 256 * 1024 ** 2;
const POOL = "/images/pool";

kernelConformance("simulated", { fresh: () => fresh({ seed: 1 }) });
kernelConformance("simulated, calls in another order", {
  fresh: () => fresh({ seed: 7, maxTurns: 9 }),
});

async function fresh(options: MachineOptions): Promise<KernelGiven> {
  const machine = new SimMachine(options);
  const { files, kernel, exec } = machine.start();
  const { signal } = new AbortController();
  machine.init.makeDirectories("/images");
  machine.init.makeDirectories("/pool");
  machine.init.makeDirectories("/plain");
  const make = async (path: string): Promise<string> => {
    await files.createSparse(path, IMAGE_BYTES);
    await exec.run(["mkfs.btrfs", "-q", path], { timeoutMs: 60_000 }, signal);
    return path;
  };
  const mountPool = async (of: Kernel): Promise<void> => {
    const source = await of.attachLoop(POOL);
    await of.mount({ type: "btrfs", source, target: "/pool", options: [] });
  };
  await make(POOL);
  await mountPool(kernel);
  machine.init.makeDirectories("/pool/root");
  machine.sync();
  let images = 0;
  return {
    kernel,
    files,
    root: "/pool/root",
    plain: "/plain",
    plainType: "ext4",
    image: () => make(`/images/${++images}`),
    async write(path, bytes) {
      machine.write(path, bytes);
      machine.sync();
    },
    async hold(path) {
      const release = machine.init.open(path);
      return async () => release();
    },
    freeze: async (path) => machine.freeze(path),
    async subvolumesAfterPowerCut() {
      machine.reboot();
      const next = machine.start();
      await mountPool(next.kernel);
      const names = await next.files.list("/pool/root");
      const found = await Promise.all(
        names.map((name) => next.kernel.findSubvolume(`/pool/root/${name}`)),
      );
      return names.filter((_, index) => found[index] !== undefined);
    },
    cleanup: async () => machine.crash(),
  };
}
