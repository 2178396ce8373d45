import { Command } from "commander";
import type { WireImage } from "../../api/rest/client.ts";
import { formatBytes } from "../../core/size.ts";
import { formatAge } from "../age.ts";
import type { Context } from "../context.ts";
import { addListingOptions, formatDetails, type ListingOptions, planListing } from "../listing.ts";
import { forEachTarget } from "../many.ts";
import { printableJson } from "../printable.ts";
import { formatTable } from "../table.ts";
import { imageListing, platformOf, shortId } from "./fields.ts";

/** `lagan image ls` */
export function lsCommand(context: Context): Command {
  const listing = imageListing(context);
  const command = new Command("ls")
    .description("List images, the one brought last first; OWN is what no other has")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, listing, options);
      const images = await (await context.client()).images.list();
      show(images.toSorted((a, b) => (a.importedAt > b.importedAt ? -1 : 1)));
    });
  return addListingOptions(command, listing);
}

/** `lagan image history` */
export function historyCommand(context: Context): Command {
  return new Command("history")
    .description("Show how an image was made, the last step first")
    .argument("<image>", "name or id of an image")
    .option("--json", "as the API gives it")
    .action(async (name: string, { json }: { readonly json?: true }) => {
      const image = await (await context.client()).images.get(name);
      if (json === true) context.out(`${printableJson(image.history, 2)}\n`);
      else context.out(formatHistory(image, context));
    });
}

/** Each step with the layer that it made; steps and layers are told apart by `empty`. */
function formatHistory({ history, layers }: WireImage, { terminal, now }: Context): string {
  let place = 0;
  const steps = history.map((step) => {
    const layer = step.empty ? undefined : layers[place++];
    return { step, layer };
  });
  // An image need not tell how its layers came to be.
  const untold = layers.slice(place).map((layer) => ({ step: undefined, layer }));
  const rows = [...steps, ...untold]
    .toReversed()
    .map(({ step, layer }) => [
      layer === undefined ? "" : shortId(layer.chainId),
      step === undefined || Number.isNaN(Date.parse(step.created))
        ? ""
        : formatAge(step.created, now()),
      layer === undefined ? "0 B" : formatBytes(layer.sizeBytes),
      [step?.createdBy, step?.comment].filter(Boolean).join("  # "),
    ]);
  return formatTable(["LAYER", "CREATED", "SIZE", "CREATED BY"], rows, terminal.columns);
}

/** `lagan image inspect` */
export function inspectCommand(context: Context): Command {
  return new Command("inspect")
    .description("Show all there is to know about images")
    .argument("<image...>", "names or ids of images")
    .option("--json", "a JSON array, as the API gives it")
    .action(async (names: readonly string[], { json }: { readonly json?: true }) => {
      const { images } = await context.client();
      const found: WireImage[] = [];
      await forEachTarget(context, names, async (name) => {
        found.push(await images.get(name));
      });
      if (json === true) context.out(`${printableJson(found, 2)}\n`);
      else context.out(found.map((image) => formatImage(image, context.now())).join("\n"));
    });
}

function formatImage(image: WireImage, nowMs: number): string {
  const { config, layers, createdAt } = image;
  return formatDetails([
    ["Names", image.names.join(", ") || "none"],
    ["ID", image.id],
    ["Manifest", image.manifest ?? "none: it came without one"],
    ["Platform", platformOf(image)],
    ["Pool", image.pool],
    ["Size", `${formatBytes(image.sizeBytes)}, of that its own: ${formatBytes(image.ownBytes)}`],
    ["Volumes made from it", image.volumes.join(", ") || "none"],
    ["Created", createdAt === null ? "not told" : `${createdAt} (${formatAge(createdAt, nowMs)})`],
    ["Imported", `${image.importedAt} (${formatAge(image.importedAt, nowMs)})`],
    ["User", config.user || "root"],
    ["Entrypoint", config.entrypoint.join(" ") || "none"],
    ["Command", config.cmd.join(" ") || "none"],
    ["Directory", config.workingDir || "/"],
    ["Environment", config.env.join(" ") || "none"],
    ["Wants volumes at", config.volumes.join(" ") || "nothing"],
    ...layers.map(({ chainId, sizeBytes, sharedWith }, place) => {
      const shared = sharedWith.length === 0 ? "" : `, shared with ${sharedWith.join(", ")}`;
      return [
        `Layer ${place + 1}`,
        `${shortId(chainId)} ${formatBytes(sizeBytes)}${shared}`,
      ] as const;
    }),
  ]);
}
