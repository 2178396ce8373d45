/** One measured number. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: "ms" | "MB" | "/s" | "ratio" | "MB/s";
  /** What it is to be: at most, or at least. Absent: it is only told. */
  readonly target?: { readonly atMost: number } | { readonly atLeast: number };
  /** What else a reader has to know, such as how many samples there were. */
  readonly note?: string;
}

/** A table of figures; the columns are how many volumes there are, where that is what grows. */
export interface Table {
  readonly title: string;
  readonly rows: readonly Figure[];
}

/** Whether a figure is what it is to be; undefined without a target. */
export function isMet({ value, target }: Figure): boolean | undefined {
  if (target === undefined) return undefined;
  return "atMost" in target ? value <= target.atMost : value >= target.atLeast;
}

export function formatTarget({ target, unit }: Figure): string {
  if (target === undefined) return "";
  return "atMost" in target
    ? `<= ${formatValue(target.atMost, unit)}`
    : `>= ${formatValue(target.atLeast, unit)}`;
}

export function formatValue(value: number, unit: Figure["unit"]): string {
  if (unit === "ratio") return value.toFixed(3);
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${unit}`;
}

/** The value below which `share` (0 to 1) of the samples are. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.floor(share * sorted.length));
  return sorted[at] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}
