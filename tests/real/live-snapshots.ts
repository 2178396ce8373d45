/**
 * How many snapshots in a row a test takes of what is being written: `LAGAN_LIVE_SNAPSHOTS`, or as many as the ordinary run
 * has time for.
 */
export function liveSnapshots(ordinary: number): number {
  return Number(process.env["LAGAN_LIVE_SNAPSHOTS"] ?? ordinary);
}
