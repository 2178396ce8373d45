import koffi from "koffi";
import { errnoName } from "./errno.ts";

/*
 * inotify(7): of a directory that nobody has touched there is nothing to read. To open a watcher and to read from it waits for
 * nothing, and is done on the event loop; to watch and unwatch looks at the disk, and is for threads.
 */

const libc = koffi.load("libc.so.6");
const rawInit = libc.func("int inotify_init1(int)");
const rawAdd = libc.func("int inotify_add_watch(int, str, uint)");
const rawRemove = libc.func("int inotify_rm_watch(int, int)");
const rawRead = libc.func("long read(int, void *, ulong)");

/** sys/inotify.h. */
const IN_CLOEXEC = 0o2000000;
const IN_NONBLOCK = 0o4000;
const IN_ATTRIB = 0x4;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_MOVE_SELF = 0x800;
const IN_ONLYDIR = 0x0100_0000;
const IN_DONT_FOLLOW = 0x0200_0000;
const IN_ONESHOT = 0x8000_0000;

/** The first event says all, and ends the watch. */
const CHANGES = IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVE_SELF;
const HOW = (CHANGES | IN_ONLYDIR | IN_DONT_FOLLOW | IN_ONESHOT) >>> 0;

/** A descriptor from which events can be read without a wait; undefined: there is none to be had. */
export function openWatcher(): number | undefined {
  const fd = rawInit(IN_NONBLOCK | IN_CLOEXEC) as number;
  return fd < 0 ? undefined : fd;
}

/**
 * Fills `events`; answers how many bytes there were, 0 when there are none, -1 when they cannot be read. It never waits. Node's own
 * read throws where there is nothing, which is the rule here, and takes fifty times as long.
 */
export function readEvents(fd: number, events: Buffer): number {
  const length = rawRead(fd, events, events.length) as number;
  return length < 0 && errnoName(koffi.errno()) === "EAGAIN" ? 0 : length;
}

/** Watches a directory; -1: it cannot be. */
export function watchDirectory(fd: number, path: string): number {
  return rawAdd(fd, path, HOW) as number;
}

/** Absent is success. */
export function unwatch(fd: number, watch: number): void {
  rawRemove(fd, watch);
}
