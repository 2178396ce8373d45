import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { VERSION } from "../../src/core/version.ts";
import { mustRun, run } from "./command.ts";

const CHECKOUT = resolve(import.meta.dirname, "../..");
const UNITS = [
  ...["lagan-docker.socket", "lagan-snapshots.socket", "lagan-csi.socket", "lagan.socket"],
  "lagand.service",
];

/** Settings of systemd.exec(5) that give a service a mount namespace of its own. */
const OWN_MOUNTS =
  /^(Private(Devices|Mounts|Tmp|IPC)|Protect(ControlGroups|Home|KernelLogs|KernelModules|KernelTunables|Proc|System)|ProcSubset|MountFlags|Root\w+|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec)Paths|Bind\w*Paths|TemporaryFileSystem|DynamicUser)=/m;

/** Lays Lagan out under a scratch directory. The packages are those of the checkout: nothing is fetched. */
async function layOut(): Promise<{ root: string; env: NodeJS.ProcessEnv }> {
  const directory = await mkdtemp(join(tmpdir(), "lagan-units-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const root = join(directory, "root");
  const npm = join(directory, "bin/npm");
  await mkdir(join(directory, "bin"));
  await writeFile(npm, `#!/bin/sh\nln -s "${CHECKOUT}/node_modules" node_modules\n`);
  await chmod(npm, 0o755);
  const env = {
    ...process.env,
    DESTDIR: root,
    PATH: `${join(directory, "bin")}:${process.env["PATH"]}`,
  };
  await mustRun([join(CHECKOUT, "tools/install-host")], { env });
  return { root, env };
}

/** Runs `argv` in a mount namespace of its own where the laid-out `/opt` is the real one. */
function inside(root: string, argv: readonly string[]): Promise<string> {
  const script = 'mount --bind "$0/opt" /opt && exec "$@"';
  const argument = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, root, ...argv];
  // The command keeps compiled code in the home directory, if that is ours.
  return mustRun(argument, { env: { ...process.env, HOME: root } });
}

it("lays out a tree that runs, readable for everybody, again over an older one, and takes it away", async () => {
  const { root, env } = await layOut();
  expect(await inside(root, ["/opt/lagan/bin/lagand", "--version"])).toBe(VERSION);
  expect(await inside(root, ["/opt/lagan/bin/lagan", "--version"])).toContain(VERSION);
  for (const path of ["opt/lagan", "opt/lagan/bin/lagan", "opt/lagan/src/bin"]) {
    expect(statSync(join(root, path)).mode & 0o777).toBe(0o755);
  }
  expect(lstatSync(join(root, "usr/local/bin/lagan")).isSymbolicLink()).toBe(true);
  expect(await mustRun(["find", join(root, "opt/lagan/src"), "-name", "*.test.ts"])).toBe("");
  await writeFile(join(root, "opt/lagan/src/of-an-older-version.ts"), "");
  await mustRun([join(CHECKOUT, "tools/install-host")], { env });
  expect(existsSync(join(root, "opt/lagan/src/of-an-older-version.ts"))).toBe(false);
  expect(readdirSync(join(root, "opt"))).toEqual(["lagan"]);
  await mustRun([join(CHECKOUT, "tools/install-host"), "--uninstall"], { env });
  expect(await mustRun(["find", root, "-not", "-type", "d"])).toBe("");
});

it("keeps what is installed when the new version does not start", async () => {
  const { root, env } = await layOut();
  await writeFile(join(root, "../bin/npm"), "#!/bin/sh\nmkdir node_modules\n");
  const { code } = await run([join(CHECKOUT, "tools/install-host")], { env });
  expect(code).not.toBe(0);
  expect(readdirSync(join(root, "opt"))).toEqual(["lagan"]);
  expect(await inside(root, ["/opt/lagan/bin/lagand", "--version"])).toBe(VERSION);
});

it("has units that systemd understands, and no mount namespace for the daemon", async () => {
  const { root } = await layOut();
  const units = UNITS.map((unit) => join(root, "etc/systemd/system", unit));
  const said = await inside(root, [
    "sh",
    "-c",
    'systemd-analyze verify --man=no "$@" 2>&1',
    "sh",
    ...units,
  ]);
  // Other units of the machine may have their own faults.
  expect(said.split("\n").filter((line) => line.includes("lagan"))).toEqual([]);
  expect(await readFile(units.at(-1) ?? "", "utf8")).not.toMatch(OWN_MOUNTS);
});
