import { join } from "node:path/posix";
import { Failure } from "../../src/core/failure.ts";
import type { LayerMount, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import type { SimMachine } from "../../src/sim/machine.ts";
import type { Faults } from "./faults.ts";
import type { DriverFixture, WriteOutcome } from "./storage-driver-fixture.ts";

/** A driver's storage on a simulated machine. */
export interface SimStorage {
  readonly machine: SimMachine;
  /** The directory in which `layers` and `tmp` are. */
  readonly root: string;
  readonly make: (ports: DriverPorts) => StorageDriver;
  /** True when `root` is a mount point of the pool's own. */
  readonly mounted: boolean;
}

/** Largest content that is kept as text, in bytes; of the rest only the size is. */
const TEXT_LIMIT_BYTES = 1024;

/** The suite's hands on a simulated machine. */
export function simFixture({ machine, root, make, mounted }: SimStorage): DriverFixture {
  return {
    driver(faults?: Faults): StorageDriver {
      const { files, kernel, exec } = machine.start();
      if (faults === undefined) return make({ files, kernel, exec });
      return make({
        files: faults.wrap(files),
        kernel: faults.wrap(kernel),
        exec: faults.wrap(exec),
      });
    },
    write: (mount, path, bytes) =>
      reach(machine, mount, async (root) => write(machine, `${root}/${path}`, bytes)),
    sync: async () => machine.sync(),
    read: (mount, path) =>
      reach(machine, mount, async (root) => {
        const content = machine.read(`${root}/${path}`);
        if (typeof content === "number") return new Uint8Array(content);
        return content === undefined ? undefined : new TextEncoder().encode(content);
      }),
    unlink: (mount, path) =>
      reach(machine, mount, (root) => machine.start().files.remove(`${root}/${path}`)),
    makeDirectory: (mount, path, mode) =>
      reach(machine, mount, (root) =>
        machine.start().files.makeDirectory(`${root}/${path}`, { mode }),
      ),
    root: (mount) =>
      reach(machine, mount, async (root) => {
        const { files } = machine.start();
        const { uid = -1, gid = -1, mode = -1 } = (await files.stat(root)) ?? {};
        return { uid, gid, mode, names: await files.list(root) };
      }),
    reach: (mount, work) => reach(machine, mount, work),
    leftovers: () => machine.start().files.list(`${root}/tmp`),
    async fault() {
      const { files, kernel } = machine.start();
      if (mounted) await kernel.unmount(root);
      else await files.rename(`${root}/layers`, `${root}/layers-away`);
    },
    async mend() {
      const { files } = machine.start();
      if (!mounted) await files.rename(`${root}/layers-away`, `${root}/layers`);
    },
    powerCut: async () => machine.reboot(),
    dispose: async () => undefined,
  };
}

/** Works on a layer's root where it can be reached: as it is, or mounted meanwhile. */
async function reach<T>(
  machine: SimMachine,
  { root = "", ...request }: LayerMount,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const { type, source, options } = request;
  if (type === "bind" && options.length === 0) return work(join(source, root));
  const { files, kernel } = machine.start();
  const target = "/run/reached";
  await files.ensureDirectory(target, { mode: 0o700 });
  await kernel.mount({ ...request, target });
  try {
    return await work(join(target, root));
  } finally {
    await kernel.unmount(target);
  }
}

function write(machine: SimMachine, path: string, bytes: Uint8Array): WriteOutcome {
  const content =
    bytes.byteLength > TEXT_LIMIT_BYTES ? bytes.byteLength : new TextDecoder().decode(bytes);
  try {
    machine.write(path, content);
    return "written";
  } catch (thrown) {
    const { code, message } = Failure.from(thrown);
    if (code === "failed_precondition") return "EROFS";
    return message.includes("EDQUOT") ? "EDQUOT" : "ENOSPC";
  }
}
