/** Largest request body, in bytes. The largest sensible one, 64 labels of the longest kind, is 300 KiB. */
export const BODY_LIMIT_BYTES: number = 1024 ** 2;
/** Most bytes of a request's headers. */
export const HEADER_LIMIT_BYTES: number = 16 * 1024;
/** Longest value in a path, in characters: a name of the longest kind, and room to say that a longer one is too long. */
export const PATH_VALUE_LIMIT = 1024;
/** How long a client may take to send a request, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** How long a request may be worked on before its client is told that the work goes on without it, in milliseconds. */
export const ANSWER_TIMEOUT_MS = 120_000;
/** How long an idle connection is kept, in milliseconds. */
export const KEEP_ALIVE_MS = 60_000;
/** Most listeners to events at once. */
export const LISTENER_LIMIT = 256;
/** Most bytes that wait for one listener to events; one that reads slower is cut off and may come again. */
export const LISTENER_BUFFER_BYTES: number = 1024 ** 2;
/** How often a silent stream of events says that it lives, in milliseconds. */
export const HEARTBEAT_MS = 15_000;
/** How long the rest of a streamed body that was refused is still taken, in milliseconds. */
export const REFUSED_BODY_MS = 5_000;
/** Bytes of a comparison that are gathered before they are sent. */
export const DIFF_CHUNK_BYTES: number = 64 * 1024;
