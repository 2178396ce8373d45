import { END, seek } from "./file-bytes.ts";

/** Where a file is no hole: offset and length of each part, and at last the end of the file with nothing. */
export type Parts = readonly (readonly [offset: number, sizeBytes: number])[];

/** Most parts of one file: they are kept in memory. */
const PARTS_LIMIT = 1_000_000;
/** lseek(2) */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** The parts of an open file of this size; undefined: there are too many. */
export function findParts(fd: number, sizeBytes: number, path: string): Parts | undefined {
  const parts: (readonly [number, number])[] = [];
  for (let offset = 0; offset < sizeBytes; ) {
    const data = seek(fd, offset, SEEK_DATA, path);
    if (data === END || data >= sizeBytes) break;
    const hole = seek(fd, data, SEEK_HOLE, path);
    const end = Math.min(hole === END ? sizeBytes : hole, sizeBytes);
    parts.push([data, end - data]);
    if (parts.length > PARTS_LIMIT) return undefined;
    offset = end;
  }
  parts.push([sizeBytes, 0]);
  return parts;
}
