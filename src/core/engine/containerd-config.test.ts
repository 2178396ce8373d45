import { expect, it } from "vitest";
import { planContainerdConfig } from "./containerd-config.ts";

const ADDRESS = "/run/lagan/snapshots.sock";
const SECTION = `[proxy_plugins.lagan]\n  type = "snapshot"\n  address = "${ADDRESS}"\n`;

it("appends its section and keeps every character that is there", () => {
  const text = `# mine\nversion = 2\n[plugins."io.containerd.grpc.v1.cri"] # cri\n  x = 1\n[proxy_plugins.other]\n  type = "content"`;
  expect(planContainerdConfig(text, ADDRESS)).toEqual({
    state: "add",
    text: `${text}\n\n${SECTION}`,
    added: SECTION,
  });
});

it.each([undefined, "", "\n"])("makes a file of %j", (text) => {
  const plan = planContainerdConfig(text, ADDRESS);
  expect(plan).toMatchObject({ state: "add", text: `version = 2\n\n${SECTION}` });
});

it.each([
  SECTION,
  `version = 2\n${SECTION}\n[other]\naddress = "x"\n`,
  `[ proxy_plugins . "lagan" ]  # ours\ntype='snapshot'\naddress = '${ADDRESS}' # here\n`,
])("finds what is there already: %j", (text) => {
  expect(planContainerdConfig(text, ADDRESS)).toEqual({ state: "present" });
});

it("its own work is present the next time", () => {
  const plan = planContainerdConfig("version = 3\n", ADDRESS);
  expect(plan.state === "add" && planContainerdConfig(plan.text, ADDRESS)).toEqual({
    state: "present",
  });
});

it.each([
  ["another address", SECTION.replace("snapshots", "other")],
  ["an inline table", 'proxy_plugins = { lagan = { type = "snapshot" } }'],
  ["a dotted key", 'proxy_plugins.lagan.type = "snapshot"'],
  ["an inline entry", '[proxy_plugins]\nlagan = { type = "snapshot" }'],
  ["a text of several lines", 'a = """\n[proxy_plugins.lagan]\n"""'],
])("refuses %s, and says what to write", (_, text) => {
  expect(() => planContainerdConfig(text, ADDRESS)).toThrow(/by hand[\s\S]*proxy_plugins\.lagan/);
});
