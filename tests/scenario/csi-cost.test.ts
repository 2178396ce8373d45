import { expect, it } from "vitest";
import type { Kernel } from "../../src/core/ports/kernel.ts";
import { csiOn, made, mode, STAGING } from "./csi-world.ts";
import { World } from "./world.ts";

/** Access modes by number: one writer, and several on this node. */
const [SINGLE_WRITER, MULTI_WRITER] = [6, 7];
type Counts = Record<"tables" | "namespaces" | "single", number>;

/** Counts what is read of mounts. */
function counting(counts: Counts): (kernel: Kernel) => Kernel {
  return (kernel) =>
    new Proxy(kernel, {
      get: (target, key) => {
        if (key === "mountTable") counts.tables++;
        if (key === "mountNamespaces") counts.namespaces++;
        if (key === "mountOf") counts.single++;
        const member: unknown = Reflect.get(target, key);
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
}

it.each([
  { number: MULTI_WRITER, namespaces: 0 },
  { number: SINGLE_WRITER, namespaces: 1 },
])(
  "a volume costs the same look at mounts however many are published (access mode $number)",
  async ({ number, namespaces }) => {
    const world = new World();
    const counts: Counts = { tables: 0, namespaces: 0, single: 0 };
    world.kernelOf = counting(counts);
    const csi = await csiOn(world);
    const use = async (n: number): Promise<Counts> => {
      const volumeId = await made(csi, `pvc-${n}`);
      const stagingTargetPath = `${STAGING}/${n}`;
      const targetPath = `/var/lib/kubelet/pods/a/${n}`;
      world.machine.init.makeDirectories(stagingTargetPath);
      const before = { ...counts };
      const staged = { volumeId, stagingTargetPath, volumeCapability: mode(number) };
      await csi.node.nodeStageVolume(staged);
      const published = { ...staged, targetPath };
      await csi.node.nodePublishVolume(published);
      await csi.node.nodeUnpublishVolume({ volumeId, targetPath });
      await csi.node.nodePublishVolume(published);
      const since = (what: keyof Counts): number => counts[what] - before[what];
      return { tables: since("tables"), namespaces: since("namespaces"), single: since("single") };
    };
    const first = await use(0);
    expect(first).toMatchObject({ tables: 0, namespaces: 2 * namespaces });
    for (let n = 1; n < 20; n++) expect(await use(n)).toEqual(first);
  },
);
