import { Command } from "commander";
import { authorOf } from "./author.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./exit-code.ts";
import { addListingOptions, type ListingOptions, planListing } from "./listing.ts";
import { forEachTarget } from "./many.ts";
import { printable } from "./printable.ts";
import { whileCopying } from "./progress.ts";
import { tellQuiet } from "./quiet.ts";
import { parsePoint } from "./ref.ts";
import { refOf, snapshotListing } from "./snapshot/fields.ts";
import { volumeListing } from "./volume/fields.ts";
import { removeVolume } from "./volume/rm.ts";

/** `lagan log` */
export function logCommand(context: Context): Command {
  const columns = ["Head", "ID", "Name", "Created", "Own", "Branch", "Message"];
  const listing = snapshotListing(context, columns);
  const command = new Command("log")
    .description("The history that a volume stands on, newest first; * is where its head stands")
    .argument("<volume>", "name of a volume or branch")
    .action(async (volume: string, options: ListingOptions) => {
      const show = planListing(context, listing, options);
      show(await (await context.client()).log(volume));
    });
  return addListingOptions(command, listing);
}

/** `lagan restore` */
export function restoreCommand(context: Context): Command {
  return new Command("restore")
    .description("Make a snapshot what a volume holds; what it replaces is kept as a snapshot")
    .argument("<snapshot>", "VOLUME@SNAPSHOT")
    .option("--to <volume>", "a branch of the volume to restore, instead of the volume itself")
    .option("--stop", "stop the containers that use it, and start them again after it")
    .addHelpText("after", "\nExample: lagan restore data@before --stop")
    .action(async (ref: string, { stop, to }: { readonly stop?: true; readonly to?: string }) => {
      const { volume, snapshot } = parsePoint(ref);
      const client = await context.client();
      const how = stop === true ? { stop } : {};
      const body = { snapshot, author: authorOf(), ...how };
      const line = to ?? volume;
      const { kept, ...restored } = await whileCopying(context, line, client.revert(line, body));
      const name = printable(restored.volume.name);
      const branch = restored.volume.branch === null ? "" : ` --to ${name}`;
      context.out(
        `${name}: restored to ${printable(snapshot)}; what it held is kept as ${printable(refOf(kept))}; to undo: lagan restore ${printable(refOf(kept))}${branch}${stop === true ? " --stop" : ""}\n`,
      );
      tellQuiet(context, restored);
    });
}

/** `lagan clone` */
export function cloneCommand(context: Context): Command {
  return new Command("clone")
    .description("Make a volume from a snapshot, or from what a volume holds now")
    .argument("<ref>", "VOLUME@SNAPSHOT, VOLUME or VOLUME@BRANCH")
    .argument("<name>", "name of the new volume")
    .option("--size <size>", "most that it may hold, when not the same")
    .addHelpText("after", "\nExample: lagan clone data@before test-copy")
    .action(async (from: string, name: string, { size }: { readonly size?: string }) => {
      const options = { from, ...(size !== undefined && { size }) };
      const client = await context.client();
      const asked = client.createVolume({ name, options, author: authorOf() });
      const made = await whileCopying(context, name, asked);
      context.out(`${printable(made.name)}\n`);
    });
}

/** `lagan branch …` */
export function branchCommand(context: Context): Command {
  return new Command("branch")
    .description("Branches: lines of a volume's history, used as volumes VOLUME@BRANCH")
    .addCommand(createBranchCommand(context))
    .addCommand(lsBranchCommand(context))
    .addCommand(rmBranchCommand(context));
}

function createBranchCommand(context: Context): Command {
  return new Command("create")
    .description("Make a branch")
    .argument("<volume>", "name of a volume")
    .argument("<branch>", "name of the branch")
    .option("--from <snapshot>", "VOLUME@SNAPSHOT; else what the volume holds now")
    .addHelpText(
      "after",
      "\nExample: lagan branch create data dev   then: docker run -v data@dev:/d …",
    )
    .action(async (volume: string, name: string, { from }: { readonly from?: string }) => {
      const client = await context.client();
      const origin = from === undefined ? {} : { from };
      const asked = client.createBranch(volume, { name, author: authorOf(), ...origin });
      const made = await whileCopying(context, `${volume}@${name}`, asked);
      context.out(`${printable(made.name)}\n`);
    });
}

function lsBranchCommand(context: Context): Command {
  const listing = volumeListing(context);
  const command = new Command("ls")
    .description("List a volume's branches")
    .argument("<volume>", "name of a volume")
    .action(async (volume: string, options: ListingOptions) => {
      const show = planListing(context, listing, options);
      show(await (await context.client()).listBranches(volume));
    });
  return addListingOptions(command, listing);
}

function rmBranchCommand(context: Context): Command {
  return new Command("rm")
    .description("Put branches, with their own snapshots, into the trash")
    .argument("<volume>", "name of a volume")
    .argument("<branch...>", "names of branches")
    .action(async (volume: string, branches: readonly string[]) => {
      if (volume.includes("@"))
        throw new UsageError("Cannot remove a branch of a branch: give VOLUME BRANCH");
      await forEachTarget(context, branches, (branch) =>
        removeVolume(context, `${volume}@${branch}`),
      );
    });
}
