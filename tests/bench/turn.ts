/** Samples by what was measured, and on which side. */
export type Samples = Record<string, number[]>;

/** Who goes first changes, so that nobody has the better of what the others leave. */
export function turn<T>(sides: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? sides : [...sides].reverse();
}

/** One more sample. */
export function push(samples: Samples, name: string, value: number): void {
  const list = samples[name] ?? [];
  samples[name] = list;
  list.push(value);
}
