import { isId, type LayerId } from "../../core/id.ts";

/** User property of a dataset that says which layer it is. Absent: it is being made, or nobody's. */
export const LAYER_PROPERTY = "lagan:layer";

/** What {@link LAYER_PROPERTY} says. One `zfs set` changes it, durably and at one instant. */
export interface LayerProperty {
  /** `removed`: no layer any more, but snapshots of it still are, or layers that were made from it need them. */
  readonly state: "active" | "view" | "committed" | "removed";
  readonly id: LayerId;
  /** The id that it was made under: what was committed, or snapshotted, from. */
  readonly first: LayerId;
  readonly parent: LayerId | null;
}

const STATES = ["active", "view", "committed", "removed"] as const;

/** The text of the property. */
export function formatLayerProperty(property: LayerProperty): string {
  return JSON.stringify({ format: 1, ...property });
}

/** Undefined when the text is not one that {@link formatLayerProperty} made. */
export function parseLayerProperty(text: string): LayerProperty | undefined {
  const { format, state, id, first, parent } = parseObject(text);
  const known = STATES.find((candidate) => candidate === state);
  if (format !== 1 || known === undefined || !isLayerId(id) || !isLayerId(first)) return undefined;
  if (parent !== null && !isLayerId(parent)) return undefined;
  return { state: known, id, first, parent };
}

type PropertyText = { readonly [Key in keyof LayerProperty | "format"]?: unknown };

function parseObject(text: string): PropertyText {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function isLayerId(value: unknown): value is LayerId {
  return typeof value === "string" && isId(value);
}
