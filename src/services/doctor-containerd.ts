import { planContainerdConfig } from "../core/engine/containerd-config.ts";
import { Failure } from "../core/failure.ts";
import type { Files } from "../core/ports/files.ts";
import type { Finding } from "./doctor.ts";

/** Where containerd's packages keep its configuration. */
const CONFIG_PATH = "/etc/containerd/config.toml";
const CHECK = "containerd";

/**
 * What there is to say of containerd: whether our plugin is listed in its configuration.
 *
 * @param address Our door's socket; empty: there is none.
 */
export async function examineContainerd(
  files: Pick<Files, "readText">,
  address: string,
): Promise<readonly Finding[]> {
  const text = address === "" ? undefined : await files.readText(CONFIG_PATH);
  if (text === undefined) return [];
  try {
    const { state } = planContainerdConfig(text, address);
    const saw =
      state === "present"
        ? `${CONFIG_PATH} lists the snapshotter "lagan" at ${address}`
        : `${CONFIG_PATH} does not list lagan's snapshotter; lagan install containerd adds it, for whoever wants images in lagan's layers`;
    return [{ level: "ok", check: CHECK, saw }];
  } catch (thrown) {
    const { message } = Failure.from(thrown);
    return [
      {
        level: "warn",
        check: CHECK,
        saw: `${CONFIG_PATH} may not list lagan's snapshotter as it is: ${message}`,
        advice: "Then: systemctl restart containerd; ctr plugins ls shows it.",
      },
    ];
  }
}
