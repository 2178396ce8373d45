/** Most that one piece holds: a wake-up for each of them is nothing beside its checksum. */
const PIECE_BYTES = 1024 ** 2;
/** One is filled, one is read, one is written on. */
const PIECES = 3;

/**
 * What `fill` puts into the pieces, the next one while the reader works on this one: copying and hashing are then two threads' work.
 * A piece is overwritten when the second after it is asked for.
 *
 * @param fill Resolves to how many bytes it put there; 0: there are no more.
 */
export async function* readAhead(
  fill: (piece: Uint8Array) => Promise<number>,
): AsyncGenerator<Uint8Array> {
  const pieces = Array.from({ length: PIECES }, () => Buffer.allocUnsafeSlow(PIECE_BYTES));
  const next = (count: number) => {
    const piece = pieces[count % PIECES] as Buffer;
    return fill(piece).then((length) => piece.subarray(0, length));
  };
  let filling = next(0);
  try {
    for (let count = 1; ; count++) {
      const piece = await filling;
      if (piece.length === 0) return;
      filling = next(count);
      // Its failure is told when its turn comes.
      filling.catch(() => undefined);
      yield piece;
    }
  } finally {
    await filling.catch(() => undefined);
  }
}
