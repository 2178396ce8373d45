import { basename } from "node:path";
import { eventually } from "../tests/real/command.ts";
import { listLeftovers } from "../tests/real/leftovers.ts";
import { endNamespace } from "../tests/real/namespace.ts";
import { Show } from "./show.ts";
import { Stage } from "./stage.ts";

const KEEP = "--keep";
const END = "--end";

async function main(): Promise<boolean> {
  const [option, directory, ...more] = process.argv.slice(2);
  if (option === END && directory !== undefined && more.length === 0) {
    await endNamespace(directory);
    const left = listLeftovers(basename(directory), directory);
    const what = left.length === 0 ? "Nothing of it is left." : `Left behind:\n${left.join("\n")}`;
    process.stdout.write(`Ended. ${what}\n`);
    return left.length === 0;
  }
  if ((option !== undefined && option !== KEEP) || directory !== undefined) {
    process.stderr.write(`usage: npm run demo [-- ${KEEP} | -- ${END} DIRECTORY]\n`);
    return false;
  }
  const keep = option === KEEP;
  const show = new Show();
  show.note(
    "a Docker Engine and lagand of their own, in a scratch directory and a private mount namespace…",
  );
  const stage = await Stage.set(show, { keep });
  try {
    await play(stage, show);
  } catch (thrown) {
    show.promise(
      `the demo runs to its end (${thrown instanceof Error ? thrown.message : thrown})`,
      false,
    );
    show.output(stage.machine.lagand.logTail());
  }
  if (!keep) await cleanUp(stage, show);
  const kept = show.summary();
  if (keep) sayHowToUse(stage);
  return kept;
}

async function play(stage: Stage, show: Show): Promise<void> {
  await outlive(stage, show);
  await share(stage, show);
  await fill(stage, show);
  await look(stage, show);
  await crash(stage, show);
  await undo(stage, show);
}

async function outlive(stage: Stage, show: Show): Promise<void> {
  show.step("Data outlives its container");
  await stage.docker("volume", "create", "-d", "lagan", "-o", "size=100M", "data");
  await stage.docker(
    "run",
    "-d",
    "--name",
    "writer",
    "-v",
    "data:/data",
    "busybox",
    "sh",
    "-c",
    "echo hello > /data/file; sleep 1000",
  );
  await eventually(
    "the container has written",
    async () => (await stage.machine.docker("exec", "writer", "cat", "/data/file")).code === 0,
  );
  await stage.docker("rm", "-f", "writer");
  const { stdout } = await stage.docker(
    "run",
    "--rm",
    "-v",
    "data:/data",
    "busybox",
    "cat",
    "/data/file",
  );
  show.promise("another container reads what the first one wrote", stdout === "hello\n");
}

async function share(stage: Stage, show: Show): Promise<void> {
  show.step("Two containers share one volume");
  await stage.docker("run", "-d", "--name", "left", "-v", "data:/data", "busybox", "sleep", "1000");
  await stage.docker(
    "run",
    "-d",
    "--name",
    "right",
    "-v",
    "data:/data:ro",
    "busybox",
    "sleep",
    "1000",
  );
  await stage.docker("exec", "left", "sh", "-c", "echo from left > /data/shared");
  const { stdout } = await stage.docker("exec", "right", "cat", "/data/shared");
  show.promise("one reads what the other writes, at once", stdout === "from left\n");
  const refused = await stage.docker("exec", "right", "sh", "-c", "echo no > /data/shared");
  show.promise(
    "the one that has it read-only cannot write",
    refused.code !== 0 && refused.stderr.includes("Read-only"),
  );
  const busy = await stage.lagan("volume", "rm", "data");
  show.promise(
    "nobody removes it meanwhile, and the message names a container",
    busy.code !== 0 && /left|right/.test(busy.stderr),
  );
  await stage.docker("rm", "-f", "left", "right");

  show.step("A new volume starts with what the image has there");
  await stage.docker("volume", "create", "-d", "lagan", "seed");
  const copied = await stage.docker(
    "run",
    "--rm",
    "-v",
    "seed:/data",
    "seeded",
    "sh",
    "-c",
    "cat /data/file; stat -c '%u:%g %a' /data",
  );
  show.promise(
    "content, owner and mode are those of the image's VOLUME",
    copied.stdout === "from the image\n1234:5678 2750\n",
  );
}

async function fill(stage: Stage, show: Show): Promise<void> {
  show.step("A size limit holds, and nobody else feels it");
  const full = await stage.docker(
    "run",
    "--rm",
    "-v",
    "data:/data",
    "busybox",
    "dd",
    "if=/dev/zero",
    "of=/data/big",
    "bs=1M",
    "count=200",
  );
  show.promise(
    "the writer gets an error at 100 MiB",
    full.code !== 0 && /quota exceeded|No space left/.test(full.stderr),
  );
  const other = await stage.docker(
    "run",
    "--rm",
    "-v",
    "seed:/data",
    "busybox",
    "sh",
    "-c",
    "dd if=/dev/zero of=/data/big bs=1M count=20 2>/dev/null && echo written && rm /data/big",
  );
  show.promise(
    "another volume of the same pool takes what it is given",
    other.stdout === "written\n",
  );
  const freed = await stage.docker(
    "run",
    "--rm",
    "-v",
    "data:/data",
    "busybox",
    "sh",
    "-c",
    "rm /data/big && cat /data/file && echo more > /data/more && echo writes again",
  );
  show.promise(
    "the full volume is readable, and writes again once there is room",
    freed.stdout === "hello\nwrites again\n",
  );
}

async function look(stage: Stage, show: Show): Promise<void> {
  show.step("People see what there is");
  const listed = await stage.lagan("volume", "ls");
  show.promise(
    "lagan volume ls shows both",
    /\bdata\b/.test(listed.stdout) && /\bseed\b/.test(listed.stdout),
  );
  const inspected = await stage.lagan("volume", "inspect", "data");
  show.promise("inspect shows the limit", inspected.stdout.includes(String(100 * 1024 ** 2)));
  const measured = await stage.lagan("volume", "du");
  show.promise("du shows what each holds", measured.code === 0 && measured.stdout.includes("data"));
  const status = await stage.docker("volume", "inspect", "--format", "{{json .Status}}", "data");
  show.promise(
    "docker volume inspect shows size, pool and health",
    /"health":"ok"/.test(status.stdout) && status.stdout.includes("100 MiB"),
  );
  const doctor = await stage.lagan("doctor");
  show.promise("lagan doctor finds no error", doctor.code === 0);
}

async function crash(stage: Stage, show: Show): Promise<void> {
  const { machine } = stage;
  show.step("kill -9 of the daemon under a running container");
  await stage.docker(
    "run",
    "-d",
    "--name",
    "clock",
    "-v",
    "data:/data",
    "busybox",
    "sh",
    "-c",
    "i=0; while :; do i=$((i+1)); echo $i >> /data/ticks; usleep 20000; done",
  );
  const ticks = async (): Promise<number[]> => {
    const { stdout } = await machine.docker("exec", "clock", "cat", "/data/ticks");
    return stdout.split("\n").filter(Boolean).map(Number);
  };
  await eventually("the container writes", async () => (await ticks()).length > 10);
  show.command(`kill -9 ${machine.lagand.pid}   # lagand`);
  await machine.lagand.kill();
  const before = (await ticks()).length;
  await eventually(
    "the container writes on",
    async () => (await ticks()).length > before + 20,
  ).catch(() => undefined);
  const during = (await ticks()).length;
  show.note(`${before} lines when the daemon died, ${during} a moment later`);
  show.promise("the container writes on without the daemon", during > before + 20);
  show.note("starting lagand again");
  await machine.lagand.start();
  const after = await stage.docker(
    "run",
    "--rm",
    "-v",
    "data:/data:ro",
    "busybox",
    "tail",
    "-n",
    "1",
    "/data/ticks",
  );
  show.promise(
    "the new daemon serves the same volume to another container",
    Number(after.stdout) >= during,
  );
  const all = await ticks();
  show.promise(
    "not one line is missing",
    all.every((value, index) => value === index + 1),
  );
  await stage.docker("rm", "-f", "clock");
}

async function undo(stage: Stage, show: Show): Promise<void> {
  show.step("A removed volume comes back");
  await stage.docker("volume", "rm", "data");
  const gone = await stage.docker("volume", "inspect", "data");
  show.promise("Docker does not know it any more", gone.code !== 0);
  await stage.lagan("trash", "ls");
  await stage.lagan("trash", "restore", "data");
  const { stdout } = await stage.docker(
    "run",
    "--rm",
    "-v",
    "data:/data",
    "busybox",
    "cat",
    "/data/file",
  );
  show.promise("restored from the trash, with its content", stdout === "hello\n");
  show.step("And for good, if one wants that");
  await stage.docker("volume", "rm", "data", "seed");
  await stage.lagan("trash", "empty", "--force");
  const left = await stage.lagan("trash", "ls", "--quiet");
  show.promise("the trash is empty", left.code === 0 && left.stdout.trim() === "");
}

async function cleanUp(stage: Stage, show: Show): Promise<void> {
  show.step("Cleaning up");
  const { machine } = stage;
  await machine.close();
  const left = machine.leftovers();
  show.output(left.join("\n"));
  show.promise("no process, mount, loop device or file is left", left.length === 0);
}

function sayHowToUse({ machine }: Stage): void {
  process.stdout.write(`
It is still running. To use it:
   export DOCKER_HOST=${machine.engine.address} LAGAN_HOST=${machine.lagand.address}
   lagan() { '${process.execPath}' '${process.cwd()}/src/bin/lagan.ts' "$@"; }
   docker volume create -d lagan -o size=1G mine
   lagan volume ls
To end it and remove every trace:
   npm run demo -- ${END} ${machine.path()}
   unset DOCKER_HOST LAGAN_HOST
`);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (thrown) {
  process.stderr.write(`demo: ${thrown instanceof Error ? thrown.message : thrown}\n`);
  process.exitCode = 1;
}
// A kept machine goes on without us.
process.exit();
