import type {
  PullBody,
  WireImage,
  WireImages,
  WireLayer,
  WirePruned,
  WireRemovedImage,
} from "./image-resource.ts";
import { cutOff, ensureOk, type Query, readText, type Sending, type Wire } from "./wire.ts";

/** How {@link ImageClient} asks. */
interface Asking {
  readonly wire: Wire;
  readonly ask: <T>(method: string, path: string, sending?: Sending) => Promise<T>;
  readonly listAll: <T>(path: string, query: Query) => Promise<readonly T[]>;
}

/** A login for a registry, as Docker's API has it. */
export interface RegistryLogin {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

const ALL = "/v1/images";

/** What the daemon's API has about images. */
export class ImageClient {
  readonly #asking: Asking;

  constructor(asking: Asking) {
    this.#asking = asking;
  }

  /** By id. */
  list(): Promise<readonly WireImage[]> {
    return this.#asking.listAll(ALL, {});
  }

  /** @param image Its name, id or the beginning of that; so in the next. */
  get(image: string): Promise<WireImage> {
    return this.#asking.ask("GET", pathOf(image));
  }

  remove(image: string, force: boolean): Promise<WireRemovedImage> {
    return this.#asking.ask("DELETE", pathOf(image), { query: { force: String(force) } });
  }

  prune(all: boolean): Promise<WirePruned> {
    return this.#asking.ask("POST", `${ALL}/prune`, { body: { all } });
  }

  /** Brings an image from its registry, however long it takes. */
  async pull(body: PullBody, login: RegistryLogin | null): Promise<readonly WireImage[]> {
    const headers =
      login === null
        ? {}
        : { "x-registry-auth": Buffer.from(JSON.stringify(login)).toString("base64url") };
    const answer = await this.#asking.wire.send("POST", `${ALL}/pull`, { body, headers }, 0);
    await ensureOk(answer);
    return (JSON.parse(await readText(answer)) as WireImages).images;
  }

  /** The tar of an image made of `VOLUME`, `VOLUME@SNAPSHOT` or `VOLUME@BRANCH`. Breaks when it is cut off. */
  async *commit(ref: string, tag: string): AsyncGenerator<Uint8Array> {
    const [volume = "", at] = ref.split(/@(.*)/s);
    const answer = await this.#asking.wire.send(
      "GET",
      volumePath(volume),
      { query: { at, tag } },
      0,
    );
    await ensureOk(answer);
    try {
      for await (const piece of answer) yield piece as Uint8Array;
    } catch (cause) {
      throw cutOff("commit", ref, cause);
    } finally {
      answer.destroy();
    }
  }

  /** Every layer that is kept, with what uses it. */
  listLayers(): Promise<readonly WireLayer[]> {
    return this.#asking.listAll("/v1/layers", {});
  }

  /** Brings the images of an archive, which is read as fast as the daemon takes it. */
  async import(
    archive: AsyncIterable<Uint8Array>,
    query: { readonly platform?: string | undefined; readonly tag?: string | undefined },
  ): Promise<readonly WireImage[]> {
    const text = await this.#asking.wire.upload(`${ALL}/import`, { query }, archive);
    return (JSON.parse(text) as WireImages).images;
  }
}

function volumePath(volume: string): string {
  return `/v1/volumes/${encodeURIComponent(volume)}/image`;
}

function pathOf(image: string): string {
  return `${ALL}/${encodeURIComponent(image)}`;
}
