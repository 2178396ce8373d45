import { type MachineOptions, SimMachine } from "../../src/sim/machine.ts";
import { type FilesGiven, filesConformance } from "./files.ts";

for (const rootType of ["ext4", "btrfs"] as const) {
  filesConformance(`simulated ${rootType}`, { fresh: () => fresh({ seed: 1, rootType }) });
}
filesConformance("simulated, calls in another order", {
  fresh: () => fresh({ seed: 7, maxTurns: 9 }),
});

async function fresh(options: MachineOptions): Promise<FilesGiven> {
  const machine = new SimMachine(options);
  const { files, kernel } = machine.start();
  machine.init.makeDirectories("/mnt/root");
  machine.init.makeDirectories("/mnt/read-only");
  machine.init.makeDirectories("/mnt/small");
  machine.init.makeDirectories("/mnt/other");
  machine.sync();
  const tmpfs = (target: string, size: number): Promise<void> =>
    kernel.mount({ type: "tmpfs", source: "tmpfs", target, options: [`size=${size}`] });
  await tmpfs("/mnt/small", 1024 ** 2);
  await tmpfs("/mnt/other", 1024 ** 3);
  await kernel.mount({
    ...{ type: "bind", source: "/mnt/root", target: "/mnt/read-only", options: ["ro"] },
  });
  return {
    files,
    root: "/mnt/root",
    other: "/mnt/other",
    small: "/mnt/small",
    readOnly: "/mnt/read-only",
    link: async (target, path) => machine.init.link(target, path),
    async bindAt(source, path) {
      machine.init.makeDirectories(path);
      await kernel.mount({ type: "bind", source, target: path, options: [] });
    },
    async powerCut() {
      machine.reboot();
      return machine.start().files;
    },
    cleanup: async () => machine.crash(),
  };
}
