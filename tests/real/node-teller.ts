import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { Machine } from "./machine.ts";
import { call, callPlugin, type HttpAnswer } from "./unix-http.ts";

/*
 * What a whole node holds, in one line of words: what is written into a volume is known by a word, and what is read of
 * it is told by its checksum, from what an export sends.
 */

/** Length of what a word stands for, in bytes. */
const CONTENT_BYTES = 300_000;
const TAR_BLOCK_BYTES = 512;

/** The content of a volume's only file. */
export function contentOf(word: string): string {
  return `${word} `.repeat(CONTENT_BYTES / (word.length + 1));
}

interface Item {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number | null;
}

interface PointItem extends Item {
  readonly volume: string;
  readonly cause: string;
}

/** Tells what a lagand holds, and changes it. */
export class NodeTeller {
  readonly #machine: Machine;
  readonly #words = new Map<string, string>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** A REST call that must succeed, or fail with one of the statuses that are as good. */
  async rest(
    method: string,
    path: string,
    body?: object | string,
    asGood: readonly number[] = [],
  ): Promise<HttpAnswer> {
    const type = typeof body === "string" ? "application/x-tar" : "application/json";
    const answer = await call({
      ...{ socketPath: this.#machine.lagand.socketPath, method, path, timeoutMs: 120_000 },
      ...(body !== undefined && {
        body: typeof body === "string" ? body : JSON.stringify(body),
        headers: { "content-type": type },
      }),
    });
    if (answer.status >= 300 && !asGood.includes(answer.status)) {
      throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    }
    return answer;
  }

  /** Directory of a volume's content, as this process reaches it. */
  async directory(volume: string): Promise<string> {
    const { pluginSocketPath } = this.#machine.lagand;
    const request = { Name: volume, ID: "teller" };
    const { json } = await callPlugin(pluginSocketPath, "/VolumeDriver.Mount", request);
    return this.#machine.namespace.inside(String(json?.["Mountpoint"]));
  }

  /** Nobody has the volume any more. */
  async leave(volume: string): Promise<void> {
    const { pluginSocketPath } = this.#machine.lagand;
    await callPlugin(pluginSocketPath, "/VolumeDriver.Unmount", { Name: volume, ID: "teller" });
  }

  /** Fills a volume with what a word stands for, and syncs it. */
  async write(volume: string, word: string): Promise<void> {
    const content = contentOf(word);
    this.#words.set(md5(content), word);
    await writeFile(`${await this.directory(volume)}/file`, content, { flush: true });
    await this.leave(volume);
  }

  /** Removes everything that there is, for good. */
  async wipe(): Promise<void> {
    const names = (await this.#list<Item>("/v1/volumes")).map(({ name }) => name);
    // Branches keep their volume.
    names.sort((a, b) => Number(b.includes("@")) - Number(a.includes("@")));
    for (const name of names) await this.rest("DELETE", `/v1/volumes/${name}`);
    await this.rest("DELETE", "/v1/trash");
  }

  /**
   * Volumes with their limit in MiB and content, each with its snapshots in brackets and those of them that are in the trash in
   * parentheses; then the volumes in the trash.
   */
  async tell(): Promise<string> {
    const trash = await this.#list<PointItem>("/v1/trash-snapshots");
    const parts: string[] = [];
    for (const { name, sizeBytes } of await this.#list<Item>("/v1/volumes")) {
      const size = sizeBytes === null ? "" : ` ${sizeBytes / 1024 ** 2}M`;
      const points = await this.#list<PointItem>(`/v1/volumes/${name}/snapshots`);
      const told: string[] = [];
      for (const point of points) {
        const content = await this.#content(name, `?at=${point.id}`);
        told.push(` [${point.name ?? point.cause} ${content}]`);
      }
      const gone = trash.filter(({ volume }) => volume === name).map((one) => ` (${one.name})`);
      const content = await this.#content(name);
      parts.push(`${name}${size} ${content}${told.sort().join("")}${gone.sort().join("")}`);
    }
    for (const { name } of await this.#list<Item>("/v1/trash")) parts.push(`trashed ${name}`);
    return parts.sort().join("; ");
  }

  /** Everything that the doctor has to say of it as wrong, and what is still running. */
  async faults(): Promise<readonly string[]> {
    const { lagand } = this.#machine;
    const { findings } = (await lagand.get("/v1/doctor")) as {
      findings: readonly { level: string; saw: string }[];
    };
    const { runningOperations } = (await lagand.get("/v1/status")) as { runningOperations: number };
    return [
      ...findings
        .filter(({ level, saw }) => level === "error" || /no volume|lost|not finished/.test(saw))
        .map(({ saw }) => saw),
      ...(runningOperations === 0 ? [] : [`${runningOperations} operations are running`]),
    ];
  }

  async #list<T>(path: string): Promise<readonly T[]> {
    const page = (await this.#machine.lagand.get(`${path}?page_size=500`)) as {
      items: readonly T[];
    };
    return page.items;
  }

  async #content(volume: string, query = ""): Promise<string> {
    const { body } = await this.rest("GET", `/v1/volumes/${volume}/export${query}`);
    const content = fileIn(body);
    if (content === undefined) return "nothing";
    return this.#words.get(md5(content)) ?? `damaged, ${content.length} bytes`;
  }
}

/** Content of the only regular file in a tar of ASCII text. */
function fileIn(tar: string): string | undefined {
  for (let at = 0; at < tar.length; ) {
    const bytes = Number.parseInt(tar.slice(at + 124, at + 135), 8);
    if (Number.isNaN(bytes)) return undefined;
    const start = at + TAR_BLOCK_BYTES;
    if (tar[at + 156] === "0") return tar.slice(start, start + bytes);
    at = start + Math.ceil(bytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
  }
  return undefined;
}

function md5(content: string): string {
  return createHash("md5").update(content).digest("hex");
}
