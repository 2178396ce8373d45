import { succeeded } from "../real/command.ts";
import { call } from "../real/unix-http.ts";
import { BenchHost } from "./bench-host.ts";
import { median, type Table } from "./figure.ts";

/** Files of the directory unless told; with {@link FILE_BYTES} each, 1 GiB. */
export const IMAGE_FILES = 100_000;
const FILE_BYTES = 10_737;
const AT_MOST_50_MS = { atMost: 50 };

/** What it costs to start a volume from a directory of an image: on btrfs a clone, beside it a copy by hand. */
export async function benchImages(rounds: number, files: number): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs");
  await host.startLagand();
  const { machine } = host;
  const lagan = async (...args: readonly string[]) => succeeded(args, await machine.lagan(...args));
  await lagan("volume", "create", "data");
  const [volume] = JSON.parse(await lagan("volume", "inspect", "data", "--json"));
  // One process for all: 100,000 of them would take longer than the rest.
  const script = `mkdir "$1/app" "$1/beside"; cd "$1/app"; head -c ${files * FILE_BYTES} /dev/urandom | split -b ${FILE_BYTES} -a 6 -d - f; echo x > ../beside/x`;
  await host.must("sh", "-ec", script, "sh", volume.path);
  await lagan("snapshot", "create", "data", "--name", "full");
  await lagan("image", "commit", "data@full", "--tag", "big:1");
  const { directory, root }: { directory: number[]; root: number[] } = { directory: [], root: [] };
  for (let n = -1; n < rounds; n++) {
    const took = [
      await elapsed(() => create(host, `part-${n + 1}`, { "from-image-path": "/app" })),
      await elapsed(() => create(host, `whole-${n + 1}`, {})),
    ] as const;
    if (n < 0) continue;
    directory.push(took[0]);
    root.push(took[1]);
  }
  const copy = await elapsed(() => host.must("cp", "-a", `${volume.path}/app`, host.disk("copy")));
  const note = `${rounds} rounds`;
  const target = AT_MOST_50_MS;
  return [
    {
      title: `volumes from an image on btrfs: ${files} files of ${FILE_BYTES} bytes`,
      rows: [
        { what: "from a directory, p50", value: median(directory), unit: "ms", target, note },
        { what: "from the whole image, p50", value: median(root), unit: "ms", target, note },
        { what: "cp -a of the directory", value: copy, unit: "ms", note: "once" },
      ],
    },
  ];
}

async function create(
  host: BenchHost,
  name: string,
  options: Readonly<Record<string, string>>,
): Promise<void> {
  const { socketPath } = host.machine.lagand;
  const body = JSON.stringify({ name, options: { "from-image": "big:1", ...options } });
  const { status, body: answer } = await call({
    ...{ socketPath, method: "POST", path: "/v1/volumes", body },
    headers: { "content-type": "application/json" },
  });
  if (status !== 201) throw new Error(`POST /v1/volumes: ${status} ${answer}`);
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
