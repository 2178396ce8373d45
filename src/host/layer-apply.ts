import { ArchiveReader } from "../core/archive/reader.ts";
import type { LayerApplied } from "../core/ports/layer-tar.ts";
import { type LayerOutcome, outcomeOf, PipeClosed } from "./layer-outcome.ts";
import { LayerWriter } from "./layer-writer.ts";
import { type PipeMemory, ThreadEnd } from "./shared-pipe.ts";

/** `LayerTar.apply`, in a thread of its own. */
export function applyLayer(
  root: string,
  memory: PipeMemory,
  limits: { readonly tarBytes: number | null; readonly entries: number },
): LayerOutcome<LayerApplied> {
  const pipe = new ThreadEnd(memory);
  return outcomeOf("apply the layer", () => {
    const writer = new LayerWriter(root);
    try {
      const { tarBytes: bytes, entries } = limits;
      const reader = new ArchiveReader({ bytes, entries, form: "layer" }, writer);
      for (let piece = pipe.take(); piece !== undefined; piece = pipe.take()) reader.push(piece);
      if (pipe.closed) throw new PipeClosed();
      reader.end();
      writer.end();
      return { sizeBytes: writer.sizeBytes, entries: reader.entries };
    } finally {
      writer.close();
    }
  });
}
