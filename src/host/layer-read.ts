import { formatName } from "../core/archive/name.ts";
import type { LayerChange } from "../core/ports/layer-tar.ts";
import { type LayerOutcome, outcomeOf, PipeClosed } from "./layer-outcome.ts";
import { LayerPack } from "./layer-pack.ts";
import { type LayerVisitor, LayerWalk } from "./layer-walk.ts";
import { type PipeMemory, ThreadEnd } from "./shared-pipe.ts";

/** `LayerTar.diff`, in a thread of its own: it writes the tar. */
export function packLayer(
  root: string,
  parent: string | null,
  memory: PipeMemory,
): LayerOutcome<undefined> {
  return reading(memory, (pipe) => {
    const pack = new LayerPack(pipe);
    new LayerWalk(pack).run(root, parent);
    pack.end();
  });
}

/** `LayerTar.changes`, in a thread of its own: it writes a line of JSON for each, of kind and path. */
export function listLayer(
  root: string,
  parent: string | null,
  memory: PipeMemory,
): LayerOutcome<undefined> {
  return reading(memory, (pipe) => new LayerWalk(listing(pipe)).run(root, parent));
}

function reading(memory: PipeMemory, work: (pipe: ThreadEnd) => void): LayerOutcome<undefined> {
  const pipe = new ThreadEnd(memory);
  const outcome = outcomeOf("read the layer", () => {
    work(pipe);
    pipe.flush();
    return undefined;
  });
  pipe.end();
  return outcome;
}

function listing(pipe: ThreadEnd): LayerVisitor {
  const write = (kind: LayerChange["kind"], path: string): true => {
    // The root differs with every change in it.
    const line = path === "" ? "" : `${JSON.stringify([kind, formatName(path)])}\n`;
    if (!pipe.write(Buffer.from(line))) throw new PipeClosed();
    return true;
  };
  return {
    directory: write,
    entry: write,
    link: write,
    removed: (path) => write("removed", path),
    goOn: () => {
      if (pipe.closed) throw new PipeClosed();
    },
  };
}
