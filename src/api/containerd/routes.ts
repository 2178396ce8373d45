import { parseFilters } from "../../core/layer/filter.ts";
import type { SnapshotsService } from "../shared/generated/containerd-snapshots.ts";
import type { Works } from "../shared/grpc-service.ts";
import { fieldsOf, formatInfo, formatMount, parseKey, parseLabels, updateLabels } from "./codec.ts";
import type { NewSnapshot, Snapshotter } from "./snapshotter.ts";

/** How many snapshots are sent at once by List. */
const BLOCK = 100;

interface NewRequest {
  readonly key: string;
  readonly parent: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** containerd.services.snapshots.v1.Snapshots, whole. */
export function snapshotRoutes(snapshotter: Snapshotter): Works<typeof SnapshotsService> {
  return {
    prepare: async (request, { signal }) => ({
      mounts: (await snapshotter.prepare(parseNew(request), signal)).map(formatMount),
    }),
    view: async (request, { signal }) => ({
      mounts: (await snapshotter.view(parseNew(request), signal)).map(formatMount),
    }),
    mounts: async ({ key }, { signal }) => ({
      mounts: (await snapshotter.mounts(parseKey(key, "key"), signal)).map(formatMount),
    }),
    commit: async (request, { signal }) => {
      const name = parseKey(request.name, "name");
      await snapshotter.commit({ ...parseNew(request), name }, signal);
      return {};
    },
    remove: async ({ key }) => {
      await snapshotter.remove(parseKey(key, "key"));
      return {};
    },
    stat: async ({ key }) => ({ info: formatInfo(snapshotter.stat(parseKey(key, "key"))) }),
    update: async ({ info, updateMask }) => {
      const given = info?.labels ?? {};
      const updated = await snapshotter.update(parseKey(info?.name ?? "", "name"), (labels) =>
        updateLabels(labels, given, updateMask ?? []),
      );
      return { info: formatInfo(updated) };
    },
    list: async function* ({ filters }) {
      const passes = parseFilters(filters);
      // As they are at one instant: what comes and goes while they are sent changes nothing.
      const all = [...snapshotter.list()].filter((one) => passes(fieldsOf(one)));
      for (let at = 0; at < all.length; at += BLOCK) {
        yield { info: all.slice(at, at + BLOCK).map(formatInfo) };
      }
    },
    usage: async ({ key }, { signal }) => {
      const { sizeBytes, inodes } = await snapshotter.usage(parseKey(key, "key"), signal);
      return { size: BigInt(sizeBytes), inodes: BigInt(inodes) };
    },
    cleanup: async () => {
      snapshotter.cleanup();
      return {};
    },
  };
}

function parseNew({ key, parent, labels }: NewRequest): NewSnapshot {
  return { key: parseKey(key, "key"), parent, labels: parseLabels(labels) };
}
