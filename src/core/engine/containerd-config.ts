import { Failure } from "../failure.ts";

/** Name of the plugin of ours in containerd's configuration, and so of the snapshotter. */
export const SNAPSHOTTER_NAME = "lagan";

/** What containerd's configuration needs for our door, or has. */
export type ContainerdPlan =
  | { readonly state: "present" }
  /** The whole new text, and the lines that are added at its end. */
  | { readonly state: "add"; readonly text: string; readonly added: string };

/**
 * Plans the section of our door in a `config.toml` of containerd. Nothing that stands there is touched: a table at the end is
 * always right in TOML, unless one of that name is there already, in whatever form.
 *
 * @param text Undefined: there is no file.
 * @throws {Failure} `failed_precondition` for what cannot be told safely or is there with another address; it says what to add.
 */
export function planContainerdConfig(text: string | undefined, address: string): ContainerdPlan {
  const section = [
    `[proxy_plugins.${SNAPSHOTTER_NAME}]`,
    '  type = "snapshot"',
    `  address = ${JSON.stringify(address)}`,
    "",
  ].join("\n");
  if (text === undefined || text.trim() === "") {
    const added = `version = 2\n\n${section}`;
    return { state: "add", text: added, added };
  }
  const found = findSection(text, section);
  if (found !== undefined) {
    if (found.get("type") === "snapshot" && found.get("address") === address) {
      return { state: "present" };
    }
    throw refused("it has this section already, with other values", section);
  }
  const gap = text.endsWith("\n") ? "\n" : "\n\n";
  return { state: "add", text: text + gap + section, added: section };
}

/** Keys and values of our section; undefined: there is none. */
function findSection(text: string, section: string): ReadonlyMap<string, string> | undefined {
  if (/"""|'''/.test(text)) throw refused("it has texts of several lines", section);
  let table = "";
  let values: Map<string, string> | undefined;
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    const header = /^\[\s*([^[\]]+?)\s*\]\s*(?:#.*)?$/.exec(line)?.[1];
    if (header !== undefined) {
      table = partsOf(header).join(".");
      if (table === `proxy_plugins.${SNAPSHOTTER_NAME}`) values = new Map();
      continue;
    }
    const [, name = "", value = ""] = /^([^=#]+?)\s*=\s*(.*)$/.exec(line) ?? [];
    const [first] = partsOf(name);
    const inline = table === "" && first === "proxy_plugins";
    if (inline || (table === "proxy_plugins" && first === SNAPSHOTTER_NAME)) {
      throw refused("its proxy_plugins are not written as sections", section);
    }
    if (table === `proxy_plugins.${SNAPSHOTTER_NAME}`) {
      values?.set(name, /^(["'])(.*?)\1/.exec(value)?.[2] ?? value);
    }
  }
  return values;
}

/** A dotted key: `a."b".c`, with blanks around the dots. */
function partsOf(key: string): readonly string[] {
  return key.split(".").map((part) => part.trim().replace(/^(["'])(.*)\1$/, "$2"));
}

function refused(why: string, section: string): Failure {
  return new Failure(
    "failed_precondition",
    `Cannot edit containerd's configuration safely: ${why}; see to it by hand that it says:\n${section}`,
  );
}
