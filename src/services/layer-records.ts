import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { Holder, KeptLayer } from "../core/layer/hold.ts";
import type { Log } from "../core/ports/log.ts";
import type { Store, TxnHow, Write } from "../core/ports/store.ts";

/*
 * Keys. Invariants, kept by every transaction of the layer store:
 * 1. layers/ID is written before the layer is given to anybody, and removed after the driver has removed it.
 * 2. holds/NUMBER names one holder and a layer that has a record. A holder has one hold at most.
 */
const LAYERS = "layers/";
const HOLDS = "holds/";

/** Version of the records' form. */
const FORMAT = 1;

/** A hold as it is written: the rest is the layer's. */
export interface HoldRecord {
  /** Name of its record: a holder's key may be longer than the store takes. */
  readonly number: string;
  readonly holder: Holder;
  readonly layer: LayerId;
  readonly data: unknown;
}

/** Records of layers and of who holds them. The only place that knows their keys and form. */
export class LayerRecords {
  readonly #store: Store;
  readonly #log: Log;
  /** How many writes were to be durable soon, and how many of them surely are. */
  #soon = 0;
  #settled = 0;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Everything. A record that cannot be read is left out and told: it hides no other. */
  async load(): Promise<{
    readonly layers: readonly KeptLayer[];
    readonly holds: readonly HoldRecord[];
  }> {
    const [layers, holds] = await Promise.all([
      this.#list<KeptLayer>(LAYERS),
      this.#list<HoldRecord>(HOLDS),
    ]);
    return { layers, holds };
  }

  /** @throws {Failure} what the store says; `unknown` and `unavailable` leave open whether it was written. */
  async write(writes: readonly Write[], how: TxnHow = {}): Promise<void> {
    if (how.durable === "soon") this.#soon++;
    const soon = this.#soon;
    await this.#store.txn([], writes, how);
    if (how.durable !== "soon") this.#settled = soon;
  }

  /** True while a power cut may take back what was written. */
  get unsettled(): boolean {
    return this.#soon > this.#settled;
  }

  /** No power cut takes back what was written before. @throws {Failure} as {@link write}. */
  settle(): Promise<void> {
    return this.write([]);
  }

  async #list<T>(prefix: string): Promise<readonly T[]> {
    const { entries } = await this.#store.list(prefix);
    return entries.flatMap(({ key, value }) => {
      try {
        return [decode<T>(key, value)];
      } catch (thrown) {
        this.#log.error("a record of layers cannot be read and is left out", {
          key,
          error: thrown,
        });
        return [];
      }
    });
  }
}

/** The write that stores a layer. */
export function putLayer(layer: KeptLayer): Write {
  return { do: "put", key: LAYERS + layer.id, value: encode(layer) };
}

/** The write that forgets a layer. */
export function dropLayer(id: LayerId): Write {
  return { do: "delete", key: LAYERS + id };
}

/** The write that stores a hold. */
export function putHold(hold: HoldRecord): Write {
  return { do: "put", key: HOLDS + hold.number, value: encode(hold) };
}

/** The write that forgets a hold. */
export function dropHold(number: string): Write {
  return { do: "delete", key: HOLDS + number };
}

function encode(value: object): string {
  return JSON.stringify({ format: FORMAT, ...value });
}

function decode<T>(key: string, text: string): T {
  const { format, ...value } = JSON.parse(text) as { readonly format?: unknown };
  if (format === FORMAT) return value as T;
  throw new Failure(
    "data_loss",
    `Cannot read record "${key}": its form is ${String(format)}, this version reads ${FORMAT}`,
  );
}
