import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Server,
  ServerCredentials,
  type status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  ControllerService,
  GroupControllerService,
  IdentityService,
  NodeService,
} from "../../src/api/shared/generated/csi.ts";

/** What a driver answers to one call: the fields of an answer, a status to fail with, or nothing at all. */
export type Reply = object | { readonly fail: status } | "silence";

/** A driver that answers what it is told to, and writes down what it was asked. */
export class ScriptedDriver implements AsyncDisposable {
  readonly socketPath: string;
  /** Names of the calls that came, in order. */
  readonly calls: string[] = [];
  readonly #directory: string;
  readonly #server = new Server();
  readonly #replies = new Map<string, Reply[]>();

  private constructor(directory: string) {
    this.#directory = directory;
    this.socketPath = join(directory, "csi.sock");
  }

  static async start(): Promise<ScriptedDriver> {
    const driver = new ScriptedDriver(await mkdtemp(join(tmpdir(), "lagan-co-")));
    const definitions = [IdentityService, ControllerService, GroupControllerService, NodeService];
    for (const definition of definitions) {
      const names = Object.keys(definition);
      const handlers = names.map((name) => [name, driver.#handler(name, definition)]);
      driver.#server.addService(definition, Object.fromEntries(handlers));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const at = `unix:${driver.socketPath}`;
    driver.#server.bindAsync(at, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
    await promise;
    return driver;
  }

  /** What the next calls of this name get, one after the other; then it is the empty answer again. */
  reply(name: string, ...replies: readonly Reply[]): void {
    this.#replies.set(name, [...(this.#replies.get(name) ?? []), ...replies]);
  }

  /** The calls since the last time. */
  take(): readonly string[] {
    return this.calls.splice(0);
  }

  #handler(name: string, definition: object): UntypedServiceImplementation[string] {
    const method = (definition as Record<string, { responseDeserialize(bytes: Buffer): object }>)[
      name
    ];
    const empty = method?.responseDeserialize(Buffer.alloc(0));
    return (_: unknown, answer: (error: object | null, response?: object) => void) => {
      this.calls.push(name);
      const reply = this.#replies.get(name)?.shift() ?? {};
      if (reply === "silence") return;
      if ("fail" in reply) answer({ code: reply.fail, details: `${name} is scripted to fail` });
      else answer(null, { ...empty, ...reply });
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
