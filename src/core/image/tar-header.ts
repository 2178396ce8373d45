import { BLOCK_BYTES, checksum, paddedBytes } from "../archive/block.ts";
import { bytesOf } from "../archive/bytes.ts";
import { invariant } from "../failure.ts";

/** Largest size that a field of octal digits holds. */
const OCTAL_LIMIT = 8 ** 11;

/**
 * The header of a plain file in the tar of an image (ustar; a size over 8 GiB in GNU's way, which all read). The same for
 * the same name and size: mode 0644, owner 0:0, time 0.
 */
export function imageTarHeader(name: string, sizeBytes: number): Uint8Array {
  const header = new Uint8Array(BLOCK_BYTES);
  invariant(/^[ -~]{1,100}$/.test(name), "names in the tar of an image are short and ASCII");
  const put = (at: number, text: string) => header.set(bytesOf(text), at);
  put(0, name);
  put(100, "0000644\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  if (sizeBytes < OCTAL_LIMIT) put(124, `${sizeBytes.toString(8).padStart(11, "0")}\0`);
  else {
    new DataView(header.buffer).setBigUint64(128, BigInt(sizeBytes));
    header[124] = 0x80;
  }
  put(136, "00000000000\0");
  put(156, "0");
  put(257, "ustar\x0000");
  put(148, `${checksum(header).toString(8).padStart(6, "0")}\0 `);
  return header;
}

/** Zeros after content of this size, up to a whole block. */
export function imageTarPadding(sizeBytes: number): Uint8Array {
  return new Uint8Array(paddedBytes(sizeBytes) - sizeBytes);
}

/** The end of a tar. */
export function imageTarEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK_BYTES);
}
