import { Failure } from "../../core/failure.ts";
import { parseVolumeOptions, type VolumeOptions } from "../../core/volume/options.ts";
import type { Services } from "../../services/services.ts";
import { checkedMap, type Pairs, refused } from "./fields.ts";

/** Parameters that clients add by themselves (Kubernetes' sidecars): kept as labels, so that people find the claim. */
const CLIENT_PREFIX = "csi.storage.k8s.io/";
/** Options that a client says in another way. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  size: "capacity_range",
  from: "volume_content_source",
};
/** Options that can be changed later. */
const MUTABLE = ["profile", "protect", "schedule", "keep"] as const;

/**
 * What a volume is made with: options of `lagan volume create`, and those that the client adds.
 *
 * @throws {Failure} `invalid_argument` for an unknown one, or a value that cannot be, and for a profile or pool that is
 * not there.
 */
export async function parseParameters(
  { profiles, pools }: Services,
  parameters: Pairs,
  mutable: Pairs = {},
): Promise<VolumeOptions> {
  const given = { ...checkedMap("parameters", parameters) };
  const options: Record<string, string> = {};
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith(CLIENT_PREFIX)) options[`label.${key}`] = value;
    else options[key] = value;
    const where = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : undefined;
    if (where !== undefined) throw refused(`parameters, "${key}"`, `say it by ${where}`);
  }
  const parsed = argument(() => parseVolumeOptions({ ...options, ...checkMutable(mutable) }));
  if (parsed.profile !== undefined) {
    const { profile } = parsed;
    await profiles.get(profile).catch(asArgument);
  }
  if (parsed.pool !== undefined) {
    const { pool } = parsed;
    argument(() => pools.describe(pool));
  }
  return parsed;
}

/** What of a volume can be changed. @throws {Failure} as {@link parseParameters}. */
export async function parseMutable(services: Services, mutable: Pairs): Promise<VolumeOptions> {
  return parseParameters(services, {}, mutable);
}

function checkMutable(mutable: Pairs): Pairs {
  for (const key of Object.keys(checkedMap("mutable_parameters", mutable))) {
    if (key.startsWith("label.") || MUTABLE.some((known) => known === key)) continue;
    const all = [...MUTABLE, "label.KEY"].join(", ");
    throw refused(
      "mutable_parameters",
      `${JSON.stringify(key).slice(0, 80)} cannot be changed; there is ${all}`,
    );
  }
  return mutable;
}

function argument<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    return asArgument(thrown);
  }
}

/** Whatever is wrong with a parameter is a wrong argument: `not_found` is kept for what a volume is made from. */
function asArgument(thrown: unknown): never {
  if (!(thrown instanceof Failure)) throw thrown;
  throw new Failure("invalid_argument", thrown.message, { cause: thrown });
}
