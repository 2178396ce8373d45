import { type ClientReadableStream, credentials, type ServiceError } from "@grpc/grpc-js";
import {
  type Info,
  type ListSnapshotsResponse,
  type Mount,
  SnapshotsClient,
} from "../../src/api/shared/generated/containerd-snapshots.ts";

type Labels = Readonly<Record<string, string>>;
type Answer<T> = (error: ServiceError | null, response: T) => void;

/** containerd's side of the snapshots service, on a unix socket. Failures are gRPC's, with `code` and `details`. */
export class Snapshots {
  readonly #client: SnapshotsClient;
  readonly #snapshotter = "lagan";

  constructor(path: string) {
    this.#client = new SnapshotsClient(`unix:${path}`, credentials.createInsecure());
  }

  prepare(key: string, parent = "", labels: Labels = {}): Promise<readonly Mount[]> {
    const request = { snapshotter: this.#snapshotter, key, parent, labels };
    return call<{ mounts: Mount[] }>((done) => this.#client.prepare(request, done)).then(mountsOf);
  }

  view(key: string, parent = "", labels: Labels = {}): Promise<readonly Mount[]> {
    const request = { snapshotter: this.#snapshotter, key, parent, labels };
    return call<{ mounts: Mount[] }>((done) => this.#client.view(request, done)).then(mountsOf);
  }

  mounts(key: string): Promise<readonly Mount[]> {
    const request = { snapshotter: this.#snapshotter, key };
    return call<{ mounts: Mount[] }>((done) => this.#client.mounts(request, done)).then(mountsOf);
  }

  async commit(name: string, key: string, labels: Labels = {}, parent = ""): Promise<void> {
    const request = { snapshotter: this.#snapshotter, name, key, labels, parent };
    await call((done: Answer<unknown>) => this.#client.commit(request, done));
  }

  async remove(key: string): Promise<void> {
    const request = { snapshotter: this.#snapshotter, key };
    await call((done: Answer<unknown>) => this.#client.remove(request, done));
  }

  stat(key: string): Promise<Info> {
    const request = { snapshotter: this.#snapshotter, key };
    return call<{ info: Info | undefined }>((done) => this.#client.stat(request, done)).then(
      infoOf,
    );
  }

  update(name: string, labels: Labels, updateMask: string[] | undefined): Promise<Info> {
    const at = undefined;
    const info: Info = { name, parent: "", kind: 0, createdAt: at, updatedAt: at, labels };
    const request = { snapshotter: this.#snapshotter, info, updateMask };
    return call<{ info: Info | undefined }>((done) => this.#client.update(request, done)).then(
      infoOf,
    );
  }

  /** The blocks in which they came. */
  async blocks(...filters: readonly string[]): Promise<readonly (readonly Info[])[]> {
    const request = { snapshotter: this.#snapshotter, filters: [...filters] };
    const stream: ClientReadableStream<ListSnapshotsResponse> = this.#client.list(request);
    const blocks: Info[][] = [];
    for await (const { info } of stream as AsyncIterable<ListSnapshotsResponse>) blocks.push(info);
    return blocks;
  }

  async list(...filters: readonly string[]): Promise<readonly Info[]> {
    return (await this.blocks(...filters)).flat();
  }

  usage(key: string): Promise<{ readonly size: bigint; readonly inodes: bigint }> {
    const request = { snapshotter: this.#snapshotter, key };
    return call((done) => this.#client.usage(request, done));
  }

  async cleanup(): Promise<void> {
    await call((done: Answer<unknown>) =>
      this.#client.cleanup({ snapshotter: this.#snapshotter }, done),
    );
  }

  close(): void {
    this.#client.close();
  }
}

function call<T>(ask: (done: Answer<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    ask((error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

function mountsOf({ mounts }: { readonly mounts: readonly Mount[] }): readonly Mount[] {
  return mounts;
}

function infoOf({ info }: { readonly info: Info | undefined }): Info {
  if (info === undefined) throw new Error("an answer without info");
  return info;
}
