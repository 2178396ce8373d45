import { flushCompileCache } from "node:module";
import { createServer, type Socket, type Server as SocketServer } from "node:net";
import type { Server } from "@grpc/grpc-js";
import type { Log } from "../../core/ports/log.ts";
import type { GrpcService } from "./grpc-service.ts";

/** Largest request and answer, in bytes: four times gRPC's own default, which long listings and labels pass. */
export const MESSAGE_LIMIT_BYTES: number = 16 * 1024 ** 2;
/** How long `close` lets calls under way go on, in milliseconds. */
const DRAIN_TIMEOUT_MS = 10_000;

/** A gRPC server behind a socket of ours: bound, activated by systemd, or given. */
export interface GrpcDoor {
  /** Listen with it as with any socket server. */
  readonly server: SocketServer;
  /** Takes no more connections, lets calls under way end for up to ten seconds, and closes the rest. */
  close(): Promise<void>;
}

/**
 * A door that loads gRPC and its services with the first connection: whoever does not use it pays no memory for it.
 *
 * @param load The services; called once, and again after a failure.
 */
export function grpcDoor(
  load: () => Promise<readonly GrpcService[]>,
  log: Log,
  { drainTimeoutMs = DRAIN_TIMEOUT_MS }: { readonly drainTimeoutMs?: number } = {},
): GrpcDoor {
  let opened: Promise<Opened> | undefined;
  const waiting = new Set<Socket>();
  const open = (): Promise<Opened> => {
    opened ??= openServer(load, drainTimeoutMs).catch((thrown: unknown) => {
      opened = undefined;
      throw thrown;
    });
    return opened;
  };
  const server = createServer((socket) => {
    waiting.add(socket);
    // A connection that breaks before gRPC has it is nobody's loss.
    const ignore = () => undefined;
    socket.on("error", ignore);
    open().then(
      ({ inject }) => {
        waiting.delete(socket);
        if (socket.destroyed) return;
        inject(socket);
        socket.off("error", ignore);
      },
      (thrown: unknown) => {
        waiting.delete(socket);
        log.error("a gRPC door could not be opened", { error: thrown });
        socket.destroy();
      },
    );
  });
  return {
    server,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of waiting) socket.destroy();
      await (await opened?.catch(() => undefined))?.close();
      await closed;
    },
  };
}

interface Opened {
  readonly inject: (socket: Socket) => void;
  readonly close: () => Promise<void>;
}

async function openServer(
  load: () => Promise<readonly GrpcService[]>,
  drainTimeoutMs: number,
): Promise<Opened> {
  const grpc = await import("@grpc/grpc-js");
  const server: Server = new grpc.Server({
    "grpc.max_receive_message_length": MESSAGE_LIMIT_BYTES,
    "grpc.max_send_message_length": MESSAGE_LIMIT_BYTES,
    // Books for a debugger that nobody can reach here.
    "grpc.enable_channelz": 0,
  });
  for (const { definition, implementation } of await load()) {
    server.addService(definition, implementation);
  }
  // For the next start: what was compiled so late is kept by nobody else before the end, and a crash has none.
  flushCompileCache();
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  return {
    inject: (socket) => injector.injectConnection(socket),
    close: async () => {
      const forced = setTimeout(() => server.forceShutdown(), drainTimeoutMs);
      injector.drain(drainTimeoutMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(forced);
      injector.destroy();
    },
  };
}
