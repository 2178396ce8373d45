import { Failure } from "../../core/failure.ts";
import { showsNode } from "../../core/volume/device-node.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { work } from "./command.ts";

/**
 * Images without a file system of ours: whoever uses one gets the device itself. A note beside an image says that it is
 * one, from before it is made.
 */
export class BlockImages {
  readonly #ports: DriverPorts;

  constructor(ports: DriverPorts) {
    this.#ports = ports;
  }

  async has(image: string): Promise<boolean> {
    return (await this.#ports.files.stat(noteOf(image))) !== undefined;
  }

  /** Notes that what is about to be made there is one. */
  async mark(image: string): Promise<void> {
    await this.#ports.files.writeText(noteOf(image), "");
  }

  /** Writes out what was written to its devices so far. */
  async flush(image: string): Promise<void> {
    const { exec, kernel } = this.#ports;
    const attempt = `Cannot write out what ${image} holds`;
    for (const device of await kernel.findLoops(image)) await work(exec, attempt, ["sync", device]);
    await work(exec, attempt, ["sync", image]);
  }

  /** Makes its devices as large as it is. */
  async fill(image: string): Promise<void> {
    const { exec, kernel } = this.#ports;
    const attempt = `Cannot make the devices of ${image} larger`;
    for (const device of await kernel.findLoops(image)) {
      await work(exec, attempt, ["losetup", "--set-capacity", device]);
    }
  }

  /** @throws {Failure} `failed_precondition` when a device of it is where somebody may open it. */
  async ensureUnpublished(image: string, attempt: string): Promise<void> {
    const { kernel } = this.#ports;
    const devices = await kernel.findLoops(image);
    if (devices.length === 0) return;
    const entries = (await kernel.mountNamespaces()).flatMap((namespace) => namespace.entries);
    const entry = entries.find((one) => devices.some((device) => showsNode(one, device)));
    if (entry === undefined) return;
    const why = `it is a block device, and published at ${entry.mountPoint}; stop what uses it`;
    throw new Failure("failed_precondition", `${attempt}: ${why}`);
  }
}

function noteOf(image: string): string {
  return `${image}.block`;
}
