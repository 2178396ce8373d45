import { Client, credentials } from "@grpc/grpc-js";
import { encode, type Fields, Received } from "./wire.ts";

const RUNTIME = "/runtime.v1.RuntimeService";
const IMAGES = "/runtime.v1.ImageService";
/** A call may start a container on a busy machine. */
const CALL_TIMEOUT_MS = 60_000;
/** NamespaceMode NODE: no network of the pod's own, so no CNI is needed. */
const NODE_NETWORK = { 1: 2 };

/** What is told of a file system. */
export interface FileSystemUsage {
  readonly mountPoint: string;
  readonly usedBytes: number;
  readonly inodes: number;
}

/** The kubelet's side of CRI (k8s.io/cri-api 0.26, `runtime.v1`), as far as storage shows in it; fields are said by number. */
export class Cri {
  readonly #client: Client;
  readonly #cgroup: string;

  /** @param cgroup Name of the cgroup that pods are put below. */
  constructor(socket: string, cgroup: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure());
    this.#cgroup = cgroup;
  }

  /** Starts a pod: its sandbox's id. */
  async runPod(name: string): Promise<string> {
    return (await this.#call(RUNTIME, "RunPodSandbox", { 1: this.#pod(name) })).text(1);
  }

  /** Stops and removes a pod with all its containers. */
  async removePod(id: string): Promise<void> {
    await this.#call(RUNTIME, "StopPodSandbox", { 1: id });
    await this.#call(RUNTIME, "RemovePodSandbox", { 1: id });
  }

  /** Makes a container in a pod and starts it: its id. */
  async runContainer(
    pod: { readonly id: string; readonly name: string },
    what: { readonly name: string; readonly image: string; readonly command: readonly string[] },
  ): Promise<string> {
    const security = { 3: NODE_NETWORK };
    const { name, image, command } = what;
    const config = { 1: { 1: name }, 2: { 1: image }, 3: command, 15: { 2: security } };
    const request = { 1: pod.id, 2: config, 3: this.#pod(pod.name) };
    const id = (await this.#call(RUNTIME, "CreateContainer", request)).text(1);
    await this.#call(RUNTIME, "StartContainer", { 1: id });
    return id;
  }

  /** Stops and removes a container. */
  async removeContainer(id: string): Promise<void> {
    await this.#call(RUNTIME, "StopContainer", { 1: id });
    await this.#call(RUNTIME, "RemoveContainer", { 1: id });
  }

  /** Runs a command in a container: its standard output, trimmed. */
  async exec(container: string, ...command: readonly string[]): Promise<string> {
    const answer = await this.#call(RUNTIME, "ExecSync", { 1: container, 2: command });
    if (answer.number(3) !== 0) throw new Error(`${command.join(" ")}: ${answer.text(2)}`);
    return answer.text(1).trim();
  }

  /** Names of the images that it knows, with their sizes in bytes. */
  async images(): Promise<ReadonlyMap<string, number>> {
    const images = (await this.#call(IMAGES, "ListImages", {})).messages(1);
    return new Map(images.map((image) => [image.text(2), image.number(4)]));
  }

  /** Brings an image from a registry. */
  async pull(name: string): Promise<void> {
    await this.#call(IMAGES, "PullImage", { 1: { 1: name } });
  }

  async removeImage(name: string): Promise<void> {
    await this.#call(IMAGES, "RemoveImage", { 1: { 1: name } });
  }

  /** The file system of images and containers. */
  async imageFileSystem(): Promise<FileSystemUsage> {
    return usageOf((await this.#call(IMAGES, "ImageFsInfo", {})).message(1));
  }

  /** What a container wrote. */
  async writableLayer(container: string): Promise<FileSystemUsage> {
    const answer = await this.#call(RUNTIME, "ContainerStats", { 1: container });
    return usageOf(answer.message(1).message(4));
  }

  close(): void {
    this.#client.close();
  }

  #pod(name: string): Fields {
    const metadata = { 1: name, 2: `uid-${name}`, 3: "default" };
    const linux = { 1: `/${this.#cgroup}`, 2: { 1: NODE_NETWORK } };
    return { 1: metadata, 8: linux };
  }

  #call(service: string, method: string, request: Fields): Promise<Received> {
    const { promise, resolve, reject } = Promise.withResolvers<Received>();
    this.#client.makeUnaryRequest<Fields, Received>(
      `${service}/${method}`,
      encode,
      (bytes) => new Received(bytes),
      request,
      { deadline: Date.now() + CALL_TIMEOUT_MS },
      (error, answer) => {
        if (answer === undefined || error !== null) reject(error ?? new Error("no answer"));
        else resolve(answer);
      },
    );
    return promise;
  }
}

function usageOf(usage: Received): FileSystemUsage {
  return {
    mountPoint: usage.message(2).text(1),
    usedBytes: usage.message(3).number(1),
    inodes: usage.message(4).number(1),
  };
}
