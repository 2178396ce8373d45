/** A record with the store's revision that wrote it: the ETag of REST, the compare of the next write. */
export interface Recorded<T> {
  readonly value: T;
  readonly revision: number;
}
