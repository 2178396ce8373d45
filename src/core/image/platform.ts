import { Failure } from "../failure.ts";
import { quote } from "../name.ts";

/** What an image is made for, in Go's words (`GOOS`, `GOARCH`), as the OCI image spec has them. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** Of the architecture, such as `v7`; null: not said. */
  readonly variant: string | null;
}

const PART = /^[a-z0-9][a-z0-9_.-]{0,31}$/;
/** Architectures by the names that people and `uname` use. */
const ARCHITECTURE: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  x64: "amd64",
  aarch64: "arm64",
  armhf: "arm",
  i386: "386",
  ia32: "386",
  ppc64el: "ppc64le",
};

/**
 * Reads `linux/arm64`, `linux/arm/v7`, or an architecture alone.
 *
 * @throws {Failure} `invalid_argument`.
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [first = "", second, variant, ...more] = parts;
  if (more.length > 0 || parts.some((part) => !PART.test(part))) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(text)} as a platform: give OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64`,
    );
  }
  const os = second === undefined ? "linux" : first;
  return normalPlatform({ os, architecture: second ?? first, variant: variant ?? null });
}

/** One spelling for each platform: `aarch64` is `arm64`, whose `v8` goes without saying, and so does `v7` of `arm`. */
export function normalPlatform({ os, architecture, variant }: Platform): Platform {
  const known = Object.hasOwn(ARCHITECTURE, architecture) ? ARCHITECTURE[architecture] : undefined;
  const plain = known ?? architecture;
  if (plain === "arm64" && (variant === "v8" || variant === "8")) {
    return { os, architecture: plain, variant: null };
  }
  return {
    os,
    architecture: plain,
    variant: plain === "arm" ? (variant ?? "v7") : variant === "" ? null : variant,
  };
}

/** As {@link parsePlatform} reads it. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === null ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/**
 * The one of `choices` that runs best on `wanted`; of equals the first. Undefined: none of them does. A machine of a newer
 * variant runs what was made for an older one, and what says no variant runs everywhere.
 */
export function choosePlatform<T>(
  wanted: Platform,
  choices: readonly T[],
  of: (choice: T) => Platform | null,
): T | undefined {
  const target = normalPlatform(wanted);
  let best: { readonly choice: T; readonly fit: number } | undefined;
  for (const choice of choices) {
    const offered = of(choice);
    if (offered === null) continue;
    const fit = fitOf(target, normalPlatform(offered));
    if (fit > 0 && fit > (best?.fit ?? 0)) best = { choice, fit };
  }
  return best?.choice;
}

/** 0: it does not run there; more is better. */
function fitOf(target: Platform, offered: Platform): number {
  if (target.os !== offered.os || target.architecture !== offered.architecture) return 0;
  if (target.variant === offered.variant) return 1000;
  if (offered.variant === null) return 999;
  const has = numberOf(target.variant ?? "v1");
  const needs = numberOf(offered.variant);
  return Number.isNaN(has) || Number.isNaN(needs) || needs > has ? 0 : needs;
}

function numberOf(variant: string): number {
  return /^v\d{1,2}$/.test(variant) ? Number(variant.slice(1)) : Number.NaN;
}
