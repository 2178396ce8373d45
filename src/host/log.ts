import pino from "pino";
import type { Log } from "../core/ports/log.ts";

/**
 * The daemon's log: JSON lines on standard output, which systemd's journal keeps.
 *
 * @param traceId Asked for each line, so that every step of a request can be found by the request's id.
 */
export function openLog(
  level: "debug" | "info" | "warn" | "error",
  traceId: () => string | undefined,
): Log {
  const logger = pino({
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { error: pino.stdSerializers.errWithCause },
    mixin: () => {
      const id = traceId();
      return id === undefined ? {} : { traceId: id };
    },
  });
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  };
}
