/** How far the two clocks may be apart before the wall clock is followed, in milliseconds. */
const DRIFT_LIMIT_MS = 2;

let originMs = performance.timeOrigin;

/**
 * Wall-clock time in whole microseconds since the Unix epoch, never rounded down: whoever reads the time in Go before and after
 * a call must find ours in between.
 */
export function nowUs(): number {
  const wallMs = Date.now();
  let nowMs = originMs + performance.now();
  if (nowMs < wallMs || nowMs > wallMs + DRIFT_LIMIT_MS) {
    // The clock was set, or runs at another speed.
    originMs += wallMs - nowMs;
    nowMs = wallMs;
  }
  return Math.ceil(nowMs * 1_000);
}
