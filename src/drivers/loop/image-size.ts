import { Failure } from "../../core/failure.ts";
import type { MountEntry } from "../../core/ports/kernel.ts";
import { formatBytes } from "../../core/size.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { BlockImages } from "./block-images.ts";
import { work } from "./command.ts";
import { FILE_SYSTEMS, type ImageFileSystem } from "./file-systems.ts";
import type { ImageMounts } from "./image-mounts.ts";
import type { LoopOptions } from "./options.ts";

/** Number of CAP_SYS_RESOURCE, which ext4 asks for before it grows while mounted (linux/capability.h). */
const CAP_SYS_RESOURCE = 24n;
/** e2fsck(8): nothing to correct, or all of it corrected. */
const CHECKED = [0, 1];

/**
 * Sizes of images. The size of the file is the limit, always; what is inside fills it, but for a growth that was cut
 * short, which a note beside the image tells.
 */
export class ImageSize {
  readonly #options: LoopOptions;
  readonly #fileSystem: ImageFileSystem;
  readonly #blocks: BlockImages;
  readonly #mounts: ImageMounts;
  readonly #copy: (source: string, target: string) => Promise<void>;
  readonly #ports: DriverPorts;

  /** @param copy Makes a durable copy of an image that nobody writes to. */
  constructor(
    options: LoopOptions,
    { blocks, mounts }: { readonly blocks: BlockImages; readonly mounts: ImageMounts },
    copy: (source: string, target: string) => Promise<void>,
    ports: DriverPorts,
  ) {
    this.#options = options;
    this.#fileSystem = FILE_SYSTEMS[options.type];
    this.#blocks = blocks;
    this.#mounts = mounts;
    this.#copy = copy;
    this.#ports = ports;
  }

  /** @throws {Failure} `failed_precondition` when the image cannot get that size as things are. */
  async ensureCan(attempt: string, image: string, sizeBytes: number): Promise<void> {
    const nowBytes = await this.#sizeOf(image);
    const block = await this.#blocks.has(image);
    const entry = block ? undefined : await this.#mounts.find(image);
    if (sizeBytes === nowBytes) return;
    if (sizeBytes > nowBytes) {
      if (entry !== undefined) await this.#ensureCanGrowMounted(attempt, entry);
      return;
    }
    const { type } = this.#options;
    const { minBytes, shrinks } = this.#fileSystem;
    const refuse = (why: string): never => {
      throw new Failure(
        "failed_precondition",
        `${attempt} to ${formatBytes(sizeBytes)}: it has ${formatBytes(nowBytes)}, and ${why}`,
      );
    };
    if (block) refuse("a block device is never made smaller");
    if (!shrinks) {
      refuse(`${type} cannot be made smaller; copy what it holds to a new volume of that size`);
    }
    if (sizeBytes < minBytes) refuse(`${type} needs at least ${formatBytes(minBytes)}`);
    if (entry !== undefined) refuse(`it is mounted at ${entry.mountPoint}; stop what uses it`);
  }

  /** Brings an image to a size; null: at least to that of an image that nobody gave one. */
  async set(image: string, sizeBytes: number | null): Promise<void> {
    const nowBytes = await this.#sizeOf(image);
    const block = await this.#blocks.has(image);
    const usualBytes = block ? nowBytes : Math.max(nowBytes, this.#options.sizeBytes);
    const targetBytes = sizeBytes ?? usualBytes;
    const growing = await this.#isGrowing(image);
    if (growing) await this.#fill(image);
    if (targetBytes === nowBytes) return;
    await this.ensureCan("Cannot bring the image", image, targetBytes);
    if (targetBytes < nowBytes) await this.#replace(image, targetBytes);
    else await this.#grow(image, targetBytes);
  }

  /** Ends what {@link set} had begun; answers the limit that the image has, which is `recordedBytes` or the new one. */
  async settle(image: string, recordedBytes: number | null): Promise<number | null> {
    await this.#ports.files.remove(replacementOf(image));
    if (await this.#isGrowing(image)) await this.#fill(image);
    const sizeBytes = await this.#sizeOf(image);
    const defaultBytes = this.#options.sizeBytes;
    if (sizeBytes === (recordedBytes ?? defaultBytes)) return recordedBytes;
    return sizeBytes === defaultBytes ? null : sizeBytes;
  }

  async #grow(image: string, sizeBytes: number): Promise<void> {
    const { exec, files } = this.#ports;
    if (await this.#wantsCopyToGrow(image)) {
      await this.#replace(image, sizeBytes);
      return;
    }
    await files.writeText(noteOf(image), "");
    const attempt = `Cannot make ${image} larger`;
    await work(exec, attempt, ["truncate", `--size=${sizeBytes}`, image]);
    // Before what is inside can believe in it.
    await work(exec, attempt, ["sync", image]);
    await this.#fill(image);
  }

  async #wantsCopyToGrow(image: string): Promise<boolean> {
    if (await this.#blocks.has(image)) return false;
    return (await this.#mounts.find(image)) === undefined && !(await this.#canGrowMounted());
  }

  /** Makes what is on the image fill it. */
  async #fill(image: string): Promise<void> {
    const { exec, files, kernel } = this.#ports;
    const attempt = `Cannot make the file system in ${image} larger`;
    const block = await this.#blocks.has(image);
    const entry = block ? undefined : await this.#mounts.find(image);
    if (block) {
      await this.#blocks.fill(image);
    } else if (entry === undefined) {
      await this.#mounts.withMounted(image, async (mountPoint) => {
        const [device = ""] = await kernel.findLoops(image);
        await work(exec, attempt, ["losetup", "--set-capacity", device]);
        await this.#fileSystem.grow(exec, attempt, device, mountPoint);
      });
    } else {
      await work(exec, attempt, ["losetup", "--set-capacity", entry.source]);
      await this.#fileSystem.grow(exec, attempt, entry.source, entry.mountPoint);
    }
    await files.remove(noteOf(image));
  }

  /** Works on a copy, which takes the place of the image when it is done: a crash in the middle harms nothing. */
  async #replace(image: string, sizeBytes: number): Promise<void> {
    const { exec, files } = this.#ports;
    const attempt = `Cannot bring ${image} to ${formatBytes(sizeBytes)}`;
    await this.#mounts.ensureUnused(image, attempt);
    const copy = replacementOf(image);
    await files.remove(copy);
    try {
      await this.#copy(image, copy);
      const nowBytes = await this.#sizeOf(copy);
      const resize = ["truncate", `--size=${sizeBytes}`, copy] as const;
      if (sizeBytes > nowBytes) await work(exec, attempt, resize);
      await work(exec, attempt, ["e2fsck", "-f", "-p", copy], { done: CHECKED });
      await work(exec, attempt, ["resize2fs", copy, `${Math.floor(sizeBytes / 4096) * 4}K`]);
      if (sizeBytes < nowBytes) await work(exec, attempt, resize);
      await work(exec, attempt, ["sync", copy]);
      await work(exec, attempt, ["mv", "--no-target-directory", "--force", "--", copy, image]);
    } finally {
      await files.remove(copy);
    }
    await files.syncDirectory(directoryOf(image));
  }

  async #ensureCanGrowMounted(attempt: string, { mountPoint }: MountEntry): Promise<void> {
    if (await this.#canGrowMounted()) return;
    throw new Failure(
      "failed_precondition",
      `${attempt}: it is mounted at ${mountPoint}, and ext4 grows there only for a process with CAP_SYS_RESOURCE, which this one lacks; give it that, or stop what uses the volume`,
    );
  }

  async #canGrowMounted(): Promise<boolean> {
    if (this.#options.type !== "ext4") return true;
    const status = (await this.#ports.files.readText("/proc/self/status")) ?? "";
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
    return ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
  }

  async #isGrowing(image: string): Promise<boolean> {
    return (await this.#ports.files.stat(noteOf(image))) !== undefined;
  }

  async #sizeOf(image: string): Promise<number> {
    const stat = await this.#ports.files.stat(image);
    if (stat !== undefined) return stat.sizeBytes;
    throw new Failure("data_loss", `Cannot use the layer at ${image}: its image is gone`);
  }
}

function noteOf(image: string): string {
  return `${image}.growing`;
}

function replacementOf(image: string): string {
  return `${image}.resized`;
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
