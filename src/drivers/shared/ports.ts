import type { Exec } from "../../core/ports/exec.ts";
import type { Files } from "../../core/ports/files.ts";
import type { Kernel } from "../../core/ports/kernel.ts";

/** All that a driver may ask of the machine. */
export interface DriverPorts {
  readonly files: Files;
  readonly kernel: Kernel;
  readonly exec: Exec;
}
