import type { StorageDriver } from "../core/ports/storage-driver.ts";

/**
 * A driver of which at most `limit` calls are under way at once; more wait. Calls on a dead disk never end and keep
 * their threads: so one dead pool cannot take those that the others need.
 */
export function boundedDriver(driver: StorageDriver, limit: number): StorageDriver {
  let free = limit;
  const waiting: (() => void)[] = [];
  const bounded = async <T>(work: () => Promise<T>): Promise<T> => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
  const { changedSince, beginCommit, isUntouched, removeAll, settleRemovals, trim } = driver;
  return {
    get traits() {
      return driver.traits;
    },
    open: (signal) => driver.open(signal),
    close: (signal) => driver.close(signal),
    health: (signal) => driver.health(signal),
    facts: () => driver.facts(),
    space: (signal) => bounded(() => driver.space(signal)),
    prepare: (layer, options, signal) => bounded(() => driver.prepare(layer, options, signal)),
    view: (layer, parent, signal, care) => bounded(() => driver.view(layer, parent, signal, care)),
    commit: (active, as, signal, care) => bounded(() => driver.commit(active, as, signal, care)),
    snapshot: (active, as, signal, how) => {
      const take = () => driver.snapshot(active, as, signal, how);
      // Those that wait for each other never wait for a place too.
      return how?.seat === undefined ? bounded(take) : take();
    },
    remove: (layer, signal, care) => bounded(() => driver.remove(layer, signal, care)),
    mounts: (layer, options, signal) => bounded(() => driver.mounts(layer, options, signal)),
    usage: (layer, signal) => bounded(() => driver.usage(layer, signal)),
    resize: (layer, size, signal) => bounded(() => driver.resize(layer, size, signal)),
    list: (signal) => bounded(() => driver.list(signal)),
    ...(beginCommit !== undefined && {
      beginCommit: (active, as, signal) =>
        bounded(() => beginCommit.call(driver, active, as, signal)),
    }),
    ...(isUntouched !== undefined && {
      isUntouched: (layer, signal) => bounded(() => isUntouched.call(driver, layer, signal)),
    }),
    ...(removeAll !== undefined && {
      removeAll: (layers, sweep, signal) =>
        bounded(() => removeAll.call(driver, layers, sweep, signal)),
    }),
    ...(settleRemovals !== undefined && {
      settleRemovals: (signal) => bounded(() => settleRemovals.call(driver, signal)),
    }),
    ...(trim !== undefined && { trim: (layer, signal) => trim.call(driver, layer, signal) }),
    ...(changedSince !== undefined && {
      changedSince: (active, since, signal) =>
        bounded(() => changedSince.call(driver, active, since, signal)),
    }),
  };
}
