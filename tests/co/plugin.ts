import {
  ControllerService,
  GroupControllerService,
  IdentityService,
  type NodeGetInfoResponse,
  NodeService,
} from "../../src/api/shared/generated/csi.ts";
import { Failure } from "../../src/core/failure.ts";
import { type Calls, Connection } from "./calls.ts";
import { settled } from "./retry.ts";

/** How long one Probe may take, in milliseconds: what the livenessprobe sidecar gives. */
const PROBE_TIMEOUT_MS = 3_000;

/** What a driver says of itself. The numbers are the specification's; unknown ones are kept. */
export interface PluginFacts {
  readonly name: string;
  readonly version: string;
  readonly services: ReadonlySet<number>;
  readonly controller: ReadonlySet<number>;
  readonly group: ReadonlySet<number>;
  readonly node: ReadonlySet<number>;
  readonly nodeInfo: NodeGetInfoResponse;
}

/** Numbers of plugin capabilities that decide what is asked. */
export const PLUGIN_SERVICE = { CONTROLLER: 1, GROUP_CONTROLLER: 3 } as const;

/** A CSI driver behind its socket. */
export class Plugin {
  readonly identity: Calls<typeof IdentityService>;
  readonly controller: Calls<typeof ControllerService>;
  readonly group: Calls<typeof GroupControllerService>;
  readonly node: Calls<typeof NodeService>;
  readonly #connection: Connection;

  constructor(socketPath: string) {
    this.#connection = new Connection(socketPath);
    this.identity = this.#connection.calls(IdentityService);
    this.controller = this.#connection.calls(ControllerService);
    this.group = this.#connection.calls(GroupControllerService);
    this.node = this.#connection.calls(NodeService);
  }

  /** Waits until the driver is ready, and asks what it can. Again after every restart of it: capabilities may change. */
  async facts({ withinMs }: { readonly withinMs: number }): Promise<PluginFacts> {
    await settled(() => this.#ready(), { withinMs });
    const { name, vendorVersion } = await this.identity.getPluginInfo();
    const plugin = await this.identity.getPluginCapabilities();
    const services = typesOf(plugin.capabilities, "service");
    const controller = services.has(PLUGIN_SERVICE.CONTROLLER)
      ? (await this.controller.controllerGetCapabilities()).capabilities
      : [];
    const group = services.has(PLUGIN_SERVICE.GROUP_CONTROLLER)
      ? (await this.group.groupControllerGetCapabilities()).capabilities
      : [];
    const node = await this.node.nodeGetCapabilities();
    return {
      ...{ name, version: vendorVersion, services },
      controller: typesOf(controller, "rpc"),
      group: typesOf(group, "rpc"),
      node: typesOf(node.capabilities, "rpc"),
      nodeInfo: await this.node.nodeGetInfo(),
    };
  }

  async #ready(): Promise<void> {
    const { ready } = await this.identity.probe({}, { timeoutMs: PROBE_TIMEOUT_MS });
    // Absent is ready: the driver has nothing to say about it.
    if (ready === false) throw new Failure("unavailable", "The driver is still starting");
  }

  close(): void {
    this.#connection.close();
  }
}

interface Capability {
  readonly type: { readonly $case: string; readonly value: { readonly type: number } } | undefined;
}

function typesOf(capabilities: readonly Capability[], of: string): ReadonlySet<number> {
  return new Set(capabilities.flatMap(({ type }) => (type?.$case === of ? [type.value.type] : [])));
}
