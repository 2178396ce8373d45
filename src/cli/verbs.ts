import type { Command } from "commander";
import type { Context } from "./context.ts";

/** Makes a noun's command with its verbs. */
export type Build = (context: Context) => Command;

/** A first word on the command line. What it does is loaded only when it is meant. */
export interface Verb {
  readonly summary: string;
  readonly load: () => Promise<Build>;
}

/** Every first word, in the order of the help. */
export const VERBS: Readonly<Record<string, Verb>> = {
  status: {
    summary: "the daemon in short",
    load: async () => (await import("./status.ts")).statusCommand,
  },
  doctor: {
    summary: "what is wrong, why it matters, what to type",
    load: async () => (await import("./doctor.ts")).doctorCommand,
  },
  events: {
    summary: "what happened",
    load: async () => (await import("./events.ts")).eventsCommand,
  },
  version: {
    summary: "versions of command and daemon",
    load: async () => (await import("./version.ts")).versionCommand,
  },
  install: {
    summary: "set up engines: install containerd",
    load: async () => (await import("./install.ts")).installCommand,
  },
  completion: {
    summary: "script that makes your shell complete",
    load: async () => (await import("./completion.ts")).completionCommand,
  },
  volume: {
    summary: "volumes",
    load: async () => (await import("./volume/volume.ts")).volumeCommand,
  },
  snapshot: {
    summary: "snapshots of volumes",
    load: async () => (await import("./snapshot/snapshot.ts")).snapshotCommand,
  },
  log: {
    summary: "the history of a volume",
    load: async () => (await import("./history.ts")).logCommand,
  },
  restore: {
    summary: "a snapshot becomes what a volume holds",
    load: async () => (await import("./history.ts")).restoreCommand,
  },
  clone: {
    summary: "a volume from a snapshot",
    load: async () => (await import("./history.ts")).cloneCommand,
  },
  branch: {
    summary: "lines of a volume's history",
    load: async () => (await import("./history.ts")).branchCommand,
  },
  diff: {
    summary: "what differs between two points of a history",
    load: async () => (await import("./diff.ts")).diffCommand,
  },
  export: {
    summary: "a snapshot or volume as tar",
    load: async () => (await import("./archive.ts")).exportCommand,
  },
  import: {
    summary: "a volume from a tar",
    load: async () => (await import("./archive.ts")).importCommand,
  },
  image: {
    summary: "images, whose layers are here",
    load: async () => (await import("./image/image.ts")).imageCommand,
  },
  layer: {
    summary: "what everything is made of",
    load: async () => (await import("./layer.ts")).layerCommand,
  },
  profile: {
    summary: "named defaults for new volumes",
    load: async () => (await import("./profile.ts")).profileCommand,
  },
  trash: {
    summary: "removed volumes and snapshots",
    load: async () => (await import("./trash.ts")).trashCommand,
  },
  pool: {
    summary: "storage of this node",
    load: async () => (await import("./pool.ts")).poolCommand,
  },
  operation: {
    summary: "work of several steps",
    load: async () => (await import("./operation.ts")).operationCommand,
  },
};

/** What `lagan --help` says: one screen of 80 by 24. */
export const HELP = `Usage: lagan [--host unix:///PATH] COMMAND

Storage for containers that outlives them.

  volume      create  ls  inspect  rm  rename  set  resize  prune  du
  snapshot    create  ls  inspect  rm  set  points of a volume's history
  branch      create  ls  rm                lines of it, used as VOLUME@BRANCH
  image       import ls history inspect rm prune commit    layer       ls tree
  profile     create  ls  inspect  rm       named defaults for new volumes
  trash       ls  restore  rm  empty        what was removed, until it expires
  pool        ls  inspect                   storage that this node offers
  operation   ls  inspect  cancel           work of several steps

  log         a volume's history            restore     VOLUME@SNAPSHOT [--stop]
  diff        VOLUME@A [VOLUME@B]           clone       VOLUME[@SNAPSHOT] NAME
  export      VOLUME[@SNAPSHOT] > FILE      import      FILE NAME

  status      the daemon in short           doctor      finds what is wrong
  events      what happened [--follow]      version     of command and daemon
  daemon      become the daemon             install, completion  engines, shells

Options:
  --host      the daemon (env LAGAN_HOST; default unix:///run/lagan/lagan.sock)
  --help      this; after a command: its options and examples     --version
`;
