import { expect } from "vitest";
import type { Files } from "../../src/core/ports/files.ts";
import type { Kernel, MountRequest } from "../../src/core/ports/kernel.ts";

/** A machine's kernel, and a hand of the test's own on the same machine. */
export interface KernelGiven {
  readonly kernel: Kernel;
  readonly files: Files;
  /** An empty directory on a btrfs whose quotas are off; its own root is not this directory. */
  readonly root: string;
  /** An empty directory, no mount point, on a file system that is not btrfs and clones no files. */
  readonly plain: string;
  /** Type of the file system of `plain`. */
  readonly plainType: string;
  /** A new image file with a btrfs in it, which no loop device and no mount uses. */
  readonly image: () => Promise<string>;
  /** Writes as an application does, so many bytes that no other file has, down to the disk. */
  readonly write: (path: string, bytes: number) => Promise<void>;
  /** Keeps a file or directory open until the answer is called. */
  readonly hold: (path: string) => Promise<() => Promise<void>>;
  /** Freezes the file system mounted at `path`, as somebody else does. */
  readonly freeze: (path: string) => Promise<void>;
  /** Names of the subvolumes directly in `root` that are there after a power cut now. Asked last in a test. */
  readonly subvolumesAfterPowerCut: () => Promise<readonly string[]>;
  readonly cleanup: () => Promise<void>;
}

/** Registers one test of a machine of its own. */
export type Check = (title: string, body: (given: KernelGiven) => Promise<void>) => void;

export const MIB: number = 1024 ** 2;

/** Expects a failure with `code` whose message names `path`. */
export async function fails(work: Promise<unknown>, code: string, path: string): Promise<void> {
  await expect(work).rejects.toMatchObject({ code, message: expect.stringContaining(path) });
}

/** What binds `source` to `target`. */
export function bind(source: string, target: string, ...options: readonly string[]): MountRequest {
  return { type: "bind", source, target, options };
}
