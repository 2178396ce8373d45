import { Client, credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { IdentityService, type ProbeResponse } from "../../src/api/shared/generated/csi.ts";
import { CsiHost } from "./csi-host.ts";

/*
 * What a driver that is not written in Go must get right, by its number in section 5.3 of the study. The others:
 * 1 and 2 src/host/sockets.test.ts; 3 src/api/shared/grpc-door.test.ts; 4 and 5 src/api/csi/lanes.test.ts and csi-concurrency;
 * 7, 8 and 10 csi-conduct and csi-concurrency; 9, 12 and 13 csi-crashes; 11: nothing is formatted but images that were just made.
 */

const LOOP = "pools:\n  default:\n    driver: loop\n";
const ZFS = "pools:\n  default:\n    driver: zfs\n    size: 1G\n";

describe("the driver on a machine that lacks a program (6)", () => {
  it("says which one it is, and goes on; Probe says so where no volume can be served", async () => {
    await using host = await CsiHost.start({ config: LOOP });
    const { machine, plugin } = host;
    const [whole, some] = [machine.path("sbin-whole"), machine.path("sbin-some")];
    await host.sh(`mkdir ${whole} ${some} && mount --bind /usr/sbin ${whole}`);
    await host.sh(`ln -s ${whole}/* ${some}/ && rm -f ${some}/mkfs.ext4 ${some}/zpool`);
    await host.sh(`mount --bind ${some} /usr/sbin`);
    await expect(host.claims.create({ name: "pvc", sizeBytes: 2n ** 25n })).rejects.toMatchObject({
      ...{ code: "failed_precondition", message: expect.stringContaining("mkfs.ext4") },
    });
    expect(await plugin.identity.probe()).toEqual({ ready: true });
    expect(await host.claims.listVolumeIds()).toEqual([]);
    await machine.lagand.stop();
    await host.sh(`rm -r ${machine.path("state")}`);
    await machine.lagand.start({ config: ZFS });
    await expect(plugin.identity.probe()).rejects.toMatchObject({
      ...{ code: "failed_precondition", message: expect.stringContaining("zpool") },
    });
  });
});

describe("the authority that a client sends", () => {
  it("may be anything that HTTP/2 allows; a bare path, as of old Go clients, fails by itself alone", async () => {
    await using host = await CsiHost.start({ config: LOOP });
    const { socketPath } = host;
    for (const authority of ["localhost", "", "unix", encodeURIComponent(socketPath)]) {
      expect(await probe(socketPath, authority), authority).toEqual({ ready: true });
    }
    // Node refuses it before we see it. Repaired in kubelet (kubernetes#112597), Nomad 1.3 and csi-sanity.
    await expect(probe(socketPath, socketPath)).rejects.toThrow("RST_STREAM with code 1");
    expect(await host.plugin.identity.probe()).toEqual({ ready: true });
  });
});

async function probe(socketPath: string, authority: string): Promise<ProbeResponse> {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    "grpc.default_authority": authority,
    "grpc.use_local_subchannel_pool": 1,
  });
  const { promise, resolve, reject } = Promise.withResolvers<ProbeResponse>();
  const { path, requestSerialize, responseDeserialize } = IdentityService.probe;
  client.makeUnaryRequest(
    ...([path, requestSerialize, responseDeserialize, {}] as const),
    { deadline: Date.now() + 30_000 },
    (error, answer) => (error === null ? resolve(answer as ProbeResponse) : reject(error)),
  );
  return promise.finally(() => client.close());
}
