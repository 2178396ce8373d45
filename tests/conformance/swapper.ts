import koffi from "koffi";

/*
 * node swapper.ts A B
 *
 * Exchanges the two names again and again, each time in one call of the kernel, until it is killed.
 */

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;
const rename = koffi.load("libc.so.6").func("int renameat2(int, str, int, str, uint)");
const [a = "", b = ""] = process.argv.slice(2);
process.stdout.write("ready\n");
// Either may be away for a moment, or made anew.
for (;;) rename(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
