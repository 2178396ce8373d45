/** The first word that is no verb of the daemon's API: it becomes the daemon. */
export const DAEMON = "daemon";
/** The first word with which the shells' scripts ask for completions. */
export const COMPLETE = "__complete";
/** The first word with which Nomad's plugin for dynamic host volumes asks (`deploy/nomad/lagan`). */
export const NOMAD = "nomad-host-volume";
