import type { LayerId } from "../core/id.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";

/**
 * A driver whose commits with `kept` need not be waited for: a call that names one of the two layers, and one that tells of
 * all, waits until such a commit has ended, however that was. It begins when the answer that goes before it is on its way.
 */
export function orderedDriver(driver: StorageDriver, clock: Clock): StorageDriver {
  const ending = new Map<LayerId, Promise<unknown>>();
  const after = async <T>(layers: Iterable<LayerId | null>, work: () => Promise<T>): Promise<T> => {
    // Looked up at once: later one would be the call's own. Most of the time there is none, and nobody waits for a turn.
    const before = [...layers].flatMap((id) => (id === null ? [] : (ending.get(id) ?? [])));
    if (before.length > 0) await Promise.allSettled(before);
    return work();
  };
  const { changedSince, beginCommit, isUntouched, removeAll, settleRemovals, trim } = driver;
  return {
    get traits() {
      return driver.traits;
    },
    open: (signal) => driver.open(signal),
    health: (signal) => driver.health(signal),
    facts: () => driver.facts(),
    space: (signal) => driver.space(signal),
    close: (signal) => after([...ending.keys()], () => driver.close(signal)),
    prepare: (layer, options, signal) =>
      after([layer, options.parent], () => driver.prepare(layer, options, signal)),
    view: (layer, parent, signal, care) =>
      after([layer, parent], () => driver.view(layer, parent, signal, care)),
    commit: (active, as, signal, care) => {
      const commit = () => driver.commit(active, as, signal, care);
      if (care?.kept !== true) return after([active, as], commit);
      const ended = after([active, as], () => clock.turn().then(commit)).finally(() => {
        for (const id of [active, as]) if (ending.get(id) === ended) ending.delete(id);
      });
      for (const id of [active, as]) ending.set(id, ended);
      return ended;
    },
    snapshot: (active, as, signal, how) =>
      after([active, as], () => driver.snapshot(active, as, signal, how)),
    remove: (layer, signal, care) => after([layer], () => driver.remove(layer, signal, care)),
    mounts: (layer, options, signal) => after([layer], () => driver.mounts(layer, options, signal)),
    usage: (layer, signal) => after([layer], () => driver.usage(layer, signal)),
    resize: (layer, size, signal) => after([layer], () => driver.resize(layer, size, signal)),
    list: (signal) => after([...ending.keys()], () => driver.list(signal)),
    ...(beginCommit !== undefined && {
      beginCommit: (active, as, signal) =>
        after([active, as], () => beginCommit.call(driver, active, as, signal)),
    }),
    ...(isUntouched !== undefined && {
      isUntouched: (layer, signal) => after([layer], () => isUntouched.call(driver, layer, signal)),
    }),
    ...(removeAll !== undefined && {
      removeAll: (layers, sweep, signal) =>
        after(layers, () => removeAll.call(driver, layers, sweep, signal)),
    }),
    ...(settleRemovals !== undefined && {
      settleRemovals: (signal) => settleRemovals.call(driver, signal),
    }),
    ...(trim !== undefined && {
      trim: (layer, signal) => after([layer], () => trim.call(driver, layer, signal)),
    }),
    ...(changedSince !== undefined && {
      changedSince: (active, since, signal) =>
        after([active, since], () => changedSince.call(driver, active, since, signal)),
    }),
  };
}
