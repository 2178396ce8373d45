import { expect, it } from "vitest";
import type { Node } from "../../src/services/node.ts";
import { type Fault, World } from "./world.ts";

const signal = new AbortController().signal;

/** What a user does, from what state, and in which states it may have left the machine when it did not answer. */
export interface Story {
  readonly before: (node: Node, world: World) => Promise<unknown>;
  readonly act: (node: Node, world: World) => Promise<unknown>;
  /** What {@link StoryBook.state} tells. */
  readonly outcomes: { readonly undone: string; readonly done: string };
  /** True: it is acted by the start of a daemon on a machine where nothing was before. */
  readonly starting?: boolean;
  /** Driver of the default pool; `btrfs` unless told. */
  readonly driver?: "overlay";
  /** True: acting again when it is done already fails, and changes nothing. */
  readonly once?: boolean;
}

/** Stories, and how the machine is told. */
export interface StoryBook {
  readonly stories: Readonly<Record<string, Story>>;
  readonly state: (node: Node, world: World) => Promise<string>;
}

const FAULTS: readonly Omit<Fault, "nth">[] = [
  { when: "before", code: "unavailable" },
  { when: "before", code: "resource_exhausted" },
  { when: "after", code: "unavailable" },
  { when: "after", code: "data_loss" },
  { when: "crash-before" },
  { when: "crash-after" },
];

/** Acts each story with each call of each port going wrong: it must be done or undone, and the same again must do it. */
export function tellStories({ stories, state }: StoryBook): void {
  for (const [title, story] of Object.entries(stories)) {
    for (const fault of FAULTS) {
      for (const after of ["restart", "power cut"] as const) {
        it(`${title}: ${fault.code ?? ""} ${fault.when} any call, then ${after}: done or undone, never half`, async () => {
          const hits: string[] = [];
          for (let nth = 1; nth < 400; nth++) {
            const { starting = false, driver } = story;
            const world = new World(driver);
            if (!starting) await story.before(await world.boot(), world);
            world.machine.sync();
            const { node, hit, crashed } = await failing(world, { ...fault, nth }, starting);
            const acted = story.act(node, world).then(
              () => "answered",
              () => "failed",
            );
            const outcome = await Promise.race([acted, crashed.then(() => "crashed")]);
            if (after === "restart") world.machine.crash();
            else world.reboot();
            const next = await world.boot();
            const { done, undone } = story.outcomes;
            const allowed = outcome === "answered" ? [done] : [done, undone];
            expect(allowed, `call ${nth}, ${hit()}, ${outcome}`).toContain(
              await state(next, world),
            );
            await story.act(next, world).catch(() => undefined);
            expect(await state(next, world), `again after call ${nth}, ${hit()}`).toBe(done);
            const what = hit();
            if (what === undefined) {
              expect(hits.length).toBeGreaterThan(0);
              return;
            }
            hits.push(what);
          }
          throw new Error("never ran to completion");
        });
      }
    }
  }
}

/** A daemon whose nth call from now on goes wrong: after its start, or in its start. */
async function failing(world: World, fault: Fault, starting: boolean) {
  if (starting) return world.build(fault);
  const plain = world.build();
  await plain.node.start(signal);
  const calls = plain.calls();
  world.machine.crash();
  const daemon = world.build({ ...fault, nth: fault.nth + calls });
  await daemon.node.start(signal);
  return daemon;
}
