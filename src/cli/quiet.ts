import type { WireQuiet } from "../api/rest/client.ts";
import type { Context } from "./context.ts";
import { EXIT_CODE } from "./exit-code.ts";
import { printable } from "./printable.ts";

/** Says on standard error what was done to containers, and what could not be put back. */
export function tellQuiet(context: Context, { containers, faults }: WireQuiet): void {
  if (containers.length > 0) {
    context.err(`Held still meanwhile: ${containers.map(printable).join(", ")}\n`);
  }
  for (const fault of faults) {
    context.err(`lagan: ${printable(fault)}\n`);
    context.exit(EXIT_CODE.unavailable);
  }
}
