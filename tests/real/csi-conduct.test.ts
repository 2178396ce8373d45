import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Failure } from "../../src/core/failure.ts";
import { capabilityOf, type Wish } from "../co/capability.ts";
import type { Claim } from "../co/claims.ts";
import { CsiHost } from "./csi-host.ts";

/* What the specification says of calls out of order, repeated, wrong, or too large. */

const MIB = 1024n ** 2n;
const LOOP = "pools:\n  default:\n    driver: loop\n";
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => "OK",
    (failure: Failure) => {
      // An error says what was attempted and why.
      expect(failure.message.length).toBeGreaterThan(10);
      return failure.code;
    },
  );

let host: CsiHost;
let claims = 0;
beforeAll(async () => {
  host = await CsiHost.start({ config: LOOP, args: ["--log-level", "debug"] });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
});
beforeEach(async () => {
  expect(await host.mounted()).toEqual([]);
});

const create = (wish: Wish = {}) => {
  claims += 1;
  return host.claims.create({ name: `pvc-${claims}`, sizeBytes: 24n * MIB, ...wish });
};
const stagingOf = ({ volumeId }: Claim) => host.workloads.stagingPath(volumeId);
const target = (word: string) => host.machine.path(`kubelet/${word}`);
const publish = (claim: Claim, word: string, wish: Wish = {}, readonly = false) =>
  codeOf(
    host.plugin.node.nodePublishVolume({
      ...{ volumeId: claim.volumeId, stagingTargetPath: stagingOf(claim), readonly },
      ...{ targetPath: target(word), volumeCapability: capabilityOf(wish) },
    }),
  );
const unpublish = ({ volumeId }: Claim, word: string) =>
  codeOf(host.plugin.node.nodeUnpublishVolume({ volumeId, targetPath: target(word) }));
const unstage = (claim: Claim) =>
  codeOf(
    host.plugin.node.nodeUnstageVolume({
      ...{ volumeId: claim.volumeId, stagingTargetPath: stagingOf(claim) },
    }),
  );

describe("calls out of order", () => {
  it("backwards where nothing was done are success, again and again", async () => {
    const claim = await create();
    for (let round = 0; round < 3; round += 1) {
      expect(await unpublish(claim, "never")).toBe("OK");
      expect(await unstage(claim)).toBe("OK");
    }
    const { volumeId } = claim;
    for (let round = 0; round < 3; round += 1) {
      expect(await codeOf(host.plugin.controller.deleteVolume({ volumeId }))).toBe("OK");
    }
  });

  it("publish without stage is refused, and makes nothing", async () => {
    const claim = await create();
    expect(await publish(claim, "unstaged")).toBe("failed_precondition");
    await expect(host.sh(`test -e ${target("unstaged")}`)).rejects.toThrow();
  });

  it("a volume in use is not removed", async () => {
    const claim = await create();
    await host.workloads.start(claim, "web");
    const { volumeId } = claim;
    expect(await codeOf(host.plugin.controller.deleteVolume({ volumeId }))).toBe(
      "failed_precondition",
    );
    await host.workloads.end(volumeId, "web");
    expect(await codeOf(host.plugin.controller.deleteVolume({ volumeId }))).toBe("OK");
  });

  it("an unmounted target, one that is gone, and one mounted twice are taken back", async () => {
    const claim = await create();
    await host.workloads.stage(claim, {});
    expect(await publish(claim, "t")).toBe("OK");
    await host.sh(`umount ${target("t")}`);
    expect(await unpublish(claim, "t")).toBe("OK");
    expect(await publish(claim, "t")).toBe("OK");
    await host.sh(`umount ${target("t")} && rmdir ${target("t")}`);
    expect(await unpublish(claim, "t")).toBe("OK");
    expect(await publish(claim, "t")).toBe("OK");
    await host.sh(`mount --bind ${stagingOf(claim)} ${target("t")}`);
    expect(await unpublish(claim, "t")).toBe("OK");
    await expect(host.sh(`test -e ${target("t")}`)).rejects.toThrow();
    expect(await unstage(claim)).toBe("OK");
  });

  it("what is not a mount of ours is not removed", async () => {
    const claim = await create();
    await host.sh(`mkdir -p ${target("full")} && echo theirs > ${target("full")}/file`);
    expect(await unpublish(claim, "full")).not.toBe("internal");
    expect(await host.sh(`cat ${target("full")}/file`)).toBe("theirs");
    await host.sh(`rm -r ${target("full")}`);
  });
});

describe("a second publish on this node (section 1.4 of the study, the table of NodePublishVolume)", () => {
  const MANY: readonly NonNullable<Wish["mode"]>[] = [
    "MULTI_NODE_MULTI_WRITER",
    "SINGLE_NODE_MULTI_WRITER",
  ];
  const ONE: readonly NonNullable<Wish["mode"]>[] = [
    "SINGLE_NODE_WRITER",
    "SINGLE_NODE_SINGLE_WRITER",
  ];
  const table = [
    ...MANY.map((mode) => [mode, "OK"] as const),
    ...ONE.map((mode) => [mode, "failed_precondition"] as const),
  ];

  it.each(table)(
    "%s: the same is OK, other arguments are refused, another target is %s",
    async (mode, other) => {
      const claim = await create({ mode });
      await host.workloads.stage(claim, {});
      expect(await publish(claim, "one", { mode })).toBe("OK");
      expect(await publish(claim, "one", { mode })).toBe("OK");
      expect(await publish(claim, "one", { mode }, true)).toBe("already_exists");
      expect(await publish(claim, "two", { mode })).toBe(other);
      for (const word of ["one", "two"]) expect(await unpublish(claim, word)).toBe("OK");
      expect(await unstage(claim)).toBe("OK");
    },
  );
});

describe("bad input", () => {
  const volumeCapabilities = [capabilityOf({})];
  const cases: readonly [string, () => Promise<unknown>, string][] = [
    [
      "no name",
      () => host.plugin.controller.createVolume({ volumeCapabilities }),
      "invalid_argument",
    ],
    [
      "a name too long",
      () => host.plugin.controller.createVolume({ name: "n".repeat(129), volumeCapabilities }),
      "invalid_argument",
    ],
    [
      "a name with a NUL",
      () => host.plugin.controller.createVolume({ name: "a\u0000b", volumeCapabilities }),
      "invalid_argument",
    ],
    ["no capability", () => host.plugin.controller.createVolume({ name: "x" }), "invalid_argument"],
    [
      "an unknown parameter",
      () =>
        host.plugin.controller.createVolume({
          ...{ name: "x", volumeCapabilities, parameters: { sise: "1G" } },
        }),
      "invalid_argument",
    ],
    [
      "an access mode of the future",
      () =>
        host.plugin.controller.createVolume({
          ...{ name: "x" },
          volumeCapabilities: [{ ...capabilityOf({}), accessMode: { mode: 99 as never } }],
        }),
      "invalid_argument",
    ],
    [
      "an unknown file system",
      () =>
        host.plugin.controller.createVolume({
          ...{ name: "x", volumeCapabilities: [capabilityOf({ fsType: "ntfs" })] },
        }),
      "invalid_argument",
    ],
    [
      "a negative size",
      () =>
        host.plugin.controller.createVolume({
          ...{
            name: "x",
            volumeCapabilities,
            capacityRange: { requiredBytes: -1n, limitBytes: 0n },
          },
        }),
      "invalid_argument|out_of_range",
    ],
    [
      "a limit below what is required",
      () =>
        host.plugin.controller.createVolume({
          ...{ name: "x", volumeCapabilities },
          capacityRange: { requiredBytes: 32n * MIB, limitBytes: 16n * MIB },
        }),
      "invalid_argument|out_of_range",
    ],
    [
      "more than any disk has",
      () =>
        host.plugin.controller.createVolume({
          ...{ name: "x", volumeCapabilities },
          capacityRange: { requiredBytes: 2n ** 62n, limitBytes: 0n },
        }),
      "out_of_range|resource_exhausted",
    ],
    [
      "an unknown snapshot",
      () =>
        host.plugin.controller.createVolume({
          ...{ name: "x", volumeCapabilities },
          volumeContentSource: { type: { $case: "snapshot", value: { snapshotId: "none" } } },
        }),
      "not_found",
    ],
    [
      "a page that was never given",
      () => host.plugin.controller.listVolumes({ startingToken: "?" }),
      "aborted",
    ],
    [
      "a volume that is not there",
      () =>
        host.plugin.controller.controllerExpandVolume({
          volumeId: "none",
          capacityRange: { requiredBytes: MIB, limitBytes: 0n },
        }),
      "not_found",
    ],
    [
      "no target",
      () => host.plugin.node.nodeUnpublishVolume({ volumeId: "x" }),
      "invalid_argument",
    ],
  ];

  it.each(cases)("%s is refused, and changes nothing", async (_, call, codes) => {
    const before = await host.claims.listVolumeIds();
    expect(codes.split("|")).toContain(await codeOf(call()));
    expect(await host.claims.listVolumeIds()).toEqual(before);
  });

  it.each([
    ["a relative path", "kubelet/x"],
    ["a path with ..", "/tmp/../etc/x"],
    ["the root directory", "/"],
  ])("%s as target is refused", async (_, targetPath) => {
    const claim = await create();
    await host.workloads.stage(claim, {});
    const published = host.plugin.node.nodePublishVolume({
      ...{ volumeId: claim.volumeId, stagingTargetPath: stagingOf(claim), targetPath },
      volumeCapability: capabilityOf({}),
    });
    expect(await codeOf(published)).toBe("invalid_argument");
    expect(await unstage(claim)).toBe("OK");
  });

  it("a symbolic link as target is not followed", async () => {
    const claim = await create();
    await host.workloads.stage(claim, {});
    const victim = host.machine.path("victim");
    await host.sh(`mkdir -p ${victim} ${target("")} && ln -sfn ${victim} ${target("link")}`);
    expect(await publish(claim, "link")).not.toBe("OK");
    expect(await host.sh(`findmnt -n ${victim} || echo clean`)).toBe("clean");
    expect(await unstage(claim)).toBe("OK");
    await host.sh(`rm ${target("link")}`);
  });
});

describe("secrets", () => {
  it("are in no line of the log, whether a call succeeds or fails", async () => {
    const secrets = { password: "hunter2-needle" };
    const claim = await host.claims.create({ name: "pvc-secret", sizeBytes: 24n * MIB, secrets });
    await host.workloads.start(claim, "web", { secrets });
    await host.workloads.end(claim.volumeId, "web");
    await codeOf(host.plugin.controller.createVolume({ name: "", secrets }));
    await codeOf(host.plugin.controller.deleteSnapshot({ snapshotId: "", secrets }));
    const log = host.machine.lagand.log();
    expect(log).toContain("createVolume");
    expect(log).not.toContain("needle");
  });
});

describe("large messages", () => {
  it("are refused in order where they pass the limit, and the next call is served", async () => {
    const parameters = { "label.big": "x".repeat(20 * 1024 ** 2) };
    const sent = host.plugin.controller.createVolume({ name: "big", parameters });
    expect(await codeOf(sent)).toBe("resource_exhausted");
    const long = host.plugin.controller.createVolume({
      ...{ name: "long", volumeCapabilities: [capabilityOf({})] },
      parameters: { "label.long": "x".repeat(5 * 1024 ** 2) },
    });
    expect(await codeOf(long)).toBe("invalid_argument");
    expect(await codeOf(host.plugin.identity.probe())).toBe("OK");
  });
});
