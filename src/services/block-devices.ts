import type { Files } from "../core/ports/files.ts";
import type { Kernel, MountEntry } from "../core/ports/kernel.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";
import { showsNode } from "../core/volume/device-node.ts";
import type { Volume } from "../core/volume/volume.ts";

const BLOCK_DEVICES = "/sys/block";

/*
 * Devices of volumes that are block devices. Invariants:
 * 1. Which there are the kernel says, by the file behind each, whose path names the volume's layer; who may open one the
 *    mount tables say. Nothing is written down.
 * 2. One is detached only while no process has its node mounted anywhere. Who has it open meanwhile keeps it until then.
 */

/** Attached by whoever publishes a volume, and detached when nobody has it. */
export class BlockDevices {
  readonly #files: Files;
  readonly #kernel: Kernel;

  constructor({ files, kernel }: { readonly files: Files; readonly kernel: Kernel }) {
    this.#files = files;
    this.#kernel = kernel;
  }

  /** The node of the volume's device. The caller sees to it that nobody releases it before it is mounted. */
  async attach(
    driver: StorageDriver,
    { head }: Volume,
    readOnly: boolean,
    signal: AbortSignal,
  ): Promise<string> {
    const [mount] = await driver.mounts(head, { readOnly, device: true }, signal);
    return mount?.source ?? "";
  }

  /** What tells, of any mount, whether it shows a device of the volume. */
  async showing(volume: Volume): Promise<(entry: MountEntry) => boolean> {
    const devices = await this.#list(volume);
    return (entry) => devices.some((one) => showsNode(entry, one));
  }

  /** Those of `volumes` that have a device. */
  async attachedOf(volumes: readonly Volume[]): Promise<readonly Volume[]> {
    const blocks = volumes.filter(({ spec }) => spec.block);
    if (blocks.length === 0) return [];
    const attached = await this.#attached();
    return blocks.filter(({ head }) => attached.some(({ file }) => file.includes(head)));
  }

  /** Detaches those that are mounted nowhere. */
  async release(volume: Volume): Promise<void> {
    const devices = await this.#list(volume);
    if (devices.length === 0) return;
    const namespaces = await this.#kernel.mountNamespaces();
    const isMounted = (device: string): boolean =>
      namespaces.some(({ entries }) => entries.some((entry) => showsNode(entry, device)));
    for (const device of devices) {
      if (!isMounted(device)) await this.#kernel.detachLoop(device);
    }
  }

  async #list({ head }: Volume): Promise<readonly string[]> {
    const attached = await this.#attached();
    return attached.filter(({ file }) => file.includes(head)).map(({ device }) => device);
  }

  async #attached(): Promise<readonly { readonly device: string; readonly file: string }[]> {
    const names = (await this.#files.list(BLOCK_DEVICES)).filter((name) => /^loop\d+$/.test(name));
    const files = await this.#files.readTexts(
      names.map((name) => `${BLOCK_DEVICES}/${name}/loop/backing_file`),
    );
    return names.map((name, index) => ({ device: `/dev/${name}`, file: files[index] ?? "" }));
  }
}
