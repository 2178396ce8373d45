import { Failure } from "../core/failure.ts";
import { type AttachmentToken, newId, type VolumeId } from "../core/id.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Random } from "../core/ports/random.ts";
import { isAlone, isReader, isSameAccess, type VolumeAccess } from "../core/volume/access.ts";
import type { Attachment } from "../core/volume/attachment.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import { dropAttachment, putAttachment, type Records } from "./records.ts";

/** What {@link Attachments} works with. */
interface AttachmentsParts {
  readonly records: Records;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
}

/** Which volumes are given to which nodes. Durable: what is given stays so until it is taken back. */
export class Attachments {
  readonly #parts: AttachmentsParts;

  constructor(parts: AttachmentsParts) {
    this.#parts = parts;
  }

  /** Of one volume, or of all. */
  list(volume?: VolumeId): Promise<readonly Attachment[]> {
    return this.#parts.records.listAttachments(volume);
  }

  /**
   * Gives a volume to a node. The same again is success, with the same token.
   *
   * @param limit Most volumes of one node; 0: any number.
   * @throws {Failure} `already_exists` when that node has it otherwise; `failed_precondition` when another has it, and
   * both together cannot be; `resource_exhausted` over the limit.
   */
  attach(volume: Volume, node: string, access: VolumeAccess, limit: number): Promise<Attachment> {
    // One at a time: the limit counts all of them.
    return this.#parts.queue.run("attachments", async () => {
      const { records, clock, random } = this.#parts;
      const attempt = `Cannot attach volume "${volume.name}" to node "${node}"`;
      const all = await records.listAttachments(limit > 0 ? undefined : volume.id);
      const own = all.filter((one) => one.volume === volume.id);
      const here = own.find((one) => one.node === node);
      if (here !== undefined && isSameAccess(here.access, access)) return here;
      if (here !== undefined) {
        const why = `it is attached there as ${inWords(here.access)}, asked was ${inWords(access)}`;
        throw new Failure("already_exists", `${attempt}: ${why}; detach it first`);
      }
      const other = own.find((one) => !goTogether(one.access, access));
      if (other !== undefined) {
        const why = `node "${other.node}" has it as ${inWords(other.access)}`;
        throw new Failure("failed_precondition", `${attempt}: ${why}; detach it there first`);
      }
      if (limit > 0 && all.filter((one) => one.node === node).length >= limit) {
        const why = `that node has ${limit} volumes, the most that it takes`;
        throw new Failure("resource_exhausted", `${attempt}: ${why}`);
      }
      const token = newId<AttachmentToken>(clock, random);
      const createdAt = clock.now();
      const attachment: Attachment = { volume: volume.id, node, token, access, createdAt };
      await records.write([putAttachment(attachment)]);
      return attachment;
    });
  }

  /** Takes a volume back from a node, or from all. Not given is success. */
  detach(volume: VolumeId, node: string | undefined): Promise<void> {
    return this.#parts.queue.run("attachments", async () => {
      const { records } = this.#parts;
      const own = await records.listAttachments(volume);
      const gone = own.filter((one) => node === undefined || one.node === node);
      if (gone.length > 0) await records.write(gone.map(dropAttachment));
    });
  }

  /**
   * Holds a token against what is recorded.
   *
   * @throws {Failure} `failed_precondition` when it was taken back.
   */
  async ensureValid(volume: Volume, node: string, token: string): Promise<void> {
    const own = await this.list(volume.id);
    if (own.some((one) => one.node === node && one.token === token)) return;
    throw new Failure(
      "failed_precondition",
      `Cannot use volume "${volume.name}": its attachment to node "${node}" was taken back; attach it again`,
    );
  }
}

/** True when two nodes may have a volume so. */
function goTogether(one: VolumeAccess, other: VolumeAccess): boolean {
  for (const { mode } of [one, other]) {
    if (isAlone({ mode }) || mode === "SINGLE_NODE_MULTI_WRITER") return false;
  }
  const writers = [one, other].filter((access) => !isReader(access));
  return writers.length < 2 || writers.every(({ mode }) => mode === "MULTI_NODE_MULTI_WRITER");
}

function inWords({ mode, readOnly }: VolumeAccess): string {
  return readOnly ? `${mode}, read-only` : mode;
}
