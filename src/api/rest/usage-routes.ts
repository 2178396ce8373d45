import { type Snapshot, shortId } from "../../core/history/snapshot.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Services } from "../../services/services.ts";
import type { MeasuredUsage } from "../../services/usage.ts";
import type { WireAccount, WireVolumeAccount } from "./history-resource.ts";
import { ACCOUNTS } from "./history-schema.ts";
import { NO_QUERY } from "./query.ts";
import { type Route, route } from "./route.ts";

/** How long what was measured before is measured again for one answer, in milliseconds; then the last figures do. */
const AGAIN_MS = 75;

/** What everything holds. */
export function usageRoutes(services: Services): readonly Route[] {
  return [
    route({
      ...{ method: "GET", path: "/v1/usage" },
      does: "Says what volumes and snapshots hold, from the books of pools that keep some; no tree is walked.",
      ...{ query: NO_QUERY, body: null, answers: { 200: ACCOUNTS }, fails: [] },
      work: async (_request, signal) => ({ body: { volumes: await accountsOf(services, signal) } }),
    }),
  ];
}

async function accountsOf(
  { volumes, trash, history, snapshotTrash, usage }: Services,
  signal: AbortSignal,
): Promise<readonly WireVolumeAccount[]> {
  const [ready, trashed, taken, removed] = await Promise.all([
    volumes.list(),
    trash.list(),
    history.listAll(),
    snapshotTrash.list(),
  ]);
  const lines = [...ready, ...trashed].map(({ value }) => value);
  const snapshots = [...taken, ...removed].map(({ line, snapshot }) => {
    return { pool: line.value.spec.pool, snapshot: snapshot.value };
  });
  const all = new Set(lines.map(({ id }) => id));
  await usage.sample(lines, all, snapshots, signal, AGAIN_MS);
  const byLine = Map.groupBy(snapshots, ({ snapshot }) => snapshot.volume);
  return lines.map((line) => ({
    ...accountOf(line, line.name, usage.last(line.id)),
    sizeBytes: line.spec.sizeBytes,
    snapshots: (byLine.get(line.id) ?? []).map(({ snapshot }) => {
      return accountOf(
        snapshot,
        `${line.name.split("@")[0]}@${snapshot.name ?? shortId(snapshot.id)}`,
        usage.ofSnapshot(snapshot.id),
      );
    }),
  }));
}

function accountOf(
  { id, status }: Volume | Snapshot,
  name: string,
  measured: MeasuredUsage | undefined,
): WireAccount & { readonly trashed: boolean } {
  return {
    ...{ id, name, trashed: status.state === "trashed" },
    usedBytes: measured?.referencedBytes ?? null,
    exclusiveBytes: measured?.exclusiveBytes ?? null,
  };
}
