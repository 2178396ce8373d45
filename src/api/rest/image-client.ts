import type {
  PullBody,
  WireImage,
  WireImages,
  WirePruned,
  WireRemovedImage,
} from "./image-resource.ts";
import { ensureOk, type Query, readText, type Sending, type Wire } from "./wire.ts";

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

  /** Brings the images of an archive, which is read as fast as the daemon takes it. */
  async import(
    archive: AsyncIterable<Uint8Array>,
    query: { readonly platform?: string | undefined; readonly tag?: string | undefined },
  ): Promise<readonly WireImage[]> {
    const text = await this.#asking.wire.upload(`${ALL}/import`, { query }, archive);
    return (JSON.parse(text) as WireImages).images;
  }
}

function pathOf(image: string): string {
  return `${ALL}/${encodeURIComponent(image)}`;
}
