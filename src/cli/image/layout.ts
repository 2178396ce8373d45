import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../../core/failure.ts";
import { imageTarEnd, imageTarHeader, imageTarPadding } from "../../core/image/tar-header.ts";

const READ_BYTES: number = 1024 ** 2;

/** An OCI layout in a directory as the tar that the daemon takes, and how long that is. */
export interface PackedLayout {
  readonly pieces: AsyncIterable<Uint8Array>;
  readonly totalBytes: number;
}

/** True when `directory` has the file that marks a layout. */
export async function isLayout(directory: string): Promise<boolean> {
  return stat(join(directory, "oci-layout")).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** @throws {Failure} `invalid_argument` when it is no layout. */
export async function packLayout(directory: string): Promise<PackedLayout> {
  if (!(await isLayout(directory))) {
    throw new Failure(
      "invalid_argument",
      `Cannot import ${directory}: it has no file oci-layout, so it is no OCI layout; for the files of a volume: tar -C ${directory} -c . | lagan import - NAME`,
    );
  }
  const names = ["oci-layout", "index.json"];
  for (const algorithm of await readdir(join(directory, "blobs"))) {
    const blobs = await readdir(join(directory, "blobs", algorithm));
    // Others leave what was half written beside the blobs.
    const whole = blobs.filter((name) => /^[0-9a-f]{64,128}$/.test(name));
    names.push(...whole.map((name) => `blobs/${algorithm}/${name}`));
  }
  const files: { name: string; sizeBytes: number }[] = [];
  for (const name of names) {
    files.push({ name: tarName(name), sizeBytes: (await stat(join(directory, name))).size });
  }
  const contentBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { pieces: packed(directory, files), totalBytes: contentBytes };
}

async function* packed(
  directory: string,
  files: readonly { readonly name: string; readonly sizeBytes: number }[],
): AsyncGenerator<Uint8Array> {
  for (const { name, sizeBytes } of files) {
    yield imageTarHeader(name, sizeBytes);
    let left = sizeBytes;
    for await (const piece of createReadStream(join(directory, name), {
      highWaterMark: READ_BYTES,
    })) {
      left -= (piece as Buffer).length;
      yield piece as Buffer;
    }
    if (left !== 0) {
      throw new Failure("aborted", `Cannot import ${directory}: ${name} is being written`);
    }
    yield imageTarPadding(sizeBytes);
  }
  yield imageTarEnd();
}

/** A blob of sha512 has a name that no short header holds; none is made by anybody. */
function tarName(name: string): string {
  if (name.length <= 100) return name;
  throw new Failure("unimplemented", `Cannot import ${name}: only blobs of sha256 can be read`);
}
