import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { mustRun } from "./command.ts";
import { Engine } from "./engine.ts";
import { GraphMachine, ON_LAGAN } from "./graph-machine.ts";

/* A real Docker Engine whose storage driver is lagan. */

const machine = new GraphMachine();
const docker = (...args: readonly string[]) => machine.docker(...args);

/** Sha256 of every layer in what `docker save` wrote, in the order of the image. */
async function layersOf(archive: string): Promise<readonly string[]> {
  const directory = `${archive}.d`;
  await mkdir(directory);
  await mustRun(["tar", "-C", directory, "-xf", archive]);
  const manifest = JSON.parse(await readFile(`${directory}/manifest.json`, "utf8")) as [
    { Layers: string[] },
  ];
  return Promise.all(
    manifest[0].Layers.map(async (layer) =>
      createHash("sha256")
        .update(await readFile(`${directory}/${layer}`))
        .digest("hex"),
    ),
  );
}

/** Things that a layer's stream has to tell of, and that a second layer changes. */
const FIRST = `mkdir -p /d/gone /d/opaque /d/kept && echo 1 >/d/gone/one && echo 2 >/d/opaque/two && echo 3 >/d/kept/three
  ln /d/kept/three /d/kept/linked && ln -s three /d/kept/symbolic && mkfifo /d/fifo && chown 7:8 /d/kept/three && chmod 4751 /d/kept/three
  echo 'a file' >/d/removed && echo before >/d/changed && mkdir /d/becomes-file && echo x >/d/becomes-directory`;
const SECOND = `rm -r /d/gone /d/removed && rm -r /d/opaque && mkdir /d/opaque && echo new >/d/opaque/new && echo after >/d/changed
  rmdir /d/becomes-file && echo x >/d/becomes-file && rm /d/becomes-directory && mkdir /d/becomes-directory`;
const LIST =
  "cd /d && find . | sort | while read -r f; do stat -c '%n %F %a %u:%g %h' \"$f\"; done; cat changed opaque/new kept/linked";

describe("an engine whose storage driver is lagan", () => {
  it("says so, and has containers that read and write, copy and export", async () => {
    await machine.importBusybox();
    expect(await docker("info", "-f", "{{.Driver}}")).toBe("lagan");
    expect(await docker("info", "-f", "{{json .DriverStatus}}")).toContain("Pool");
    await docker("run", "-d", "--network=none", "--name", "web", "busybox", "sleep", "1000");
    await docker("exec", "web", "sh", "-c", "echo hello >/etc/greeting && rm /etc/group");
    const changes = (await docker("diff", "web")).split("\n").sort();
    expect(changes).toEqual(["A /etc/greeting", "C /etc", "D /etc/group"]);
    expect(await docker("inspect", "-f", "{{.GraphDriver.Name}}", "web")).toBe("lagan");
    expect(await docker("ps", "-s", "--format", "{{.Size}}")).toMatch(/^6B \(virtual/);
    expect(await docker("system", "df", "--format", "{{.Type}} {{.Size}}")).toContain(
      "Containers 6B",
    );
    await docker("cp", "web:/etc/greeting", machine.host.path("greeting"));
    expect(await readFile(machine.host.path("greeting"), "utf8")).toBe("hello\n");
    await writeFile(machine.host.path("sent"), "sent\n");
    await docker("cp", machine.host.path("sent"), "web:/etc/sent");
    expect(await docker("exec", "web", "cat", "/etc/sent")).toBe("sent");
    await docker("export", "-o", machine.host.path("web.tar"), "web");
    expect(await mustRun(["tar", "-xOf", machine.host.path("web.tar"), "etc/greeting"])).toBe(
      "hello",
    );
  });

  it("commits what containers see, and saves and loads it byte by byte", async () => {
    await machine.importBusybox();
    await docker("run", "--network=none", "--name", "one", "busybox", "sh", "-c", FIRST);
    await docker("commit", "one", "first");
    await docker("run", "--network=none", "--name", "two", "first", "sh", "-c", SECOND);
    // What the kernel shows of it is the truth.
    await docker("commit", "two", "second");
    const listed = await machine.sh("second", LIST);
    expect(listed).toContain("./kept/three regular file 4751 7:8 2");
    expect(listed).toContain("./becomes-file regular file");
    expect(listed).not.toMatch(/gone|removed|opaque\/two/);
    expect(listed).toContain("after\nnew\n3");
    const saved = machine.host.path("second.tar");
    await docker("save", "-o", saved, "second");
    await docker("rm", "one", "two");
    await docker("rmi", "second", "first", "busybox");
    expect(await docker("images", "-aq")).toBe("");
    await docker("load", "-i", saved);
    expect(await machine.sh("second", LIST)).toBe(listed);
    const again = machine.host.path("again.tar");
    await docker("save", "-o", again, "second");
    const layers = await layersOf(saved);
    expect(layers).toHaveLength(3);
    expect(await layersOf(again)).toEqual(layers);
  });

  it.each(["legacy", "buildkit"] as const)(
    "builds (%s), and a second time from its cache",
    { timeout: 180_000 },
    async (builder) => {
      await machine.importBusybox();
      const files = {
        Dockerfile: `FROM busybox AS tools
RUN mkdir /tools && echo tool >/tools/tool && ln -s tool /tools/link
FROM busybox
COPY text /copied/text
RUN ${FIRST.replaceAll("\n", " && ")}
RUN ${SECOND.replaceAll("\n", " && ")}
COPY --from=tools /tools /tools
`,
        text: "text\n",
      };
      await machine.build("built", builder, files);
      const read = "cat /copied/text /tools/link /d/changed && ls /d /d/opaque";
      const seen = await machine.sh("built", read);
      expect(seen.split("\n").slice(0, 3)).toEqual(["text", "tool", "after"]);
      expect(seen).not.toMatch(/gone|removed|two/);
      const id = await docker("images", "-q", "--no-trunc", "built");
      const output = await machine.build("built", builder, files);
      const cached = output.match(builder === "legacy" ? /Using cache/g : /CACHED/g) ?? [];
      expect(cached.length, output).toBeGreaterThanOrEqual(4);
      expect(await docker("images", "-q", "--no-trunc", "built")).toBe(id);
      await machine.build("built", builder, { ...files, text: "other\n" });
      expect(await machine.sh("built", read)).toBe(seen.replace("text", "other"));
      const saved = machine.host.path(`${builder}.tar`);
      await docker("save", "-o", saved, "built");
      expect((await layersOf(saved)).length).toBeGreaterThanOrEqual(4);
    },
  );

  it("serves many containers at once, and images that share layers", async () => {
    await machine.importBusybox();
    await docker("run", "--network=none", "--name", "one", "busybox", "sh", "-c", FIRST);
    await docker("commit", "one", "first");
    await docker("rm", "one");
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        machine.sh(n % 2 === 0 ? "busybox" : "first", `echo ${n} >/own && cat /own && ls /`),
      ),
    );
    for (const [n, answer] of answers.entries()) {
      expect(answer.split("\n")[0]).toBe(String(n));
      expect(answer.split("\n").includes("d")).toBe(n % 2 === 1);
    }
    // What a removed image shared stays for the other.
    await docker("rmi", "busybox");
    expect(await machine.sh("first", "cat /d/kept/three")).toBe("3");
  });

  it("stores once what two engines load", async () => {
    await machine.importBusybox();
    await docker("run", "--network=none", "--name", "one", "busybox", "sh", "-c", FIRST);
    await docker("commit", "one", "first");
    await docker("rm", "one");
    const saved = machine.host.path("shared.tar");
    await docker("save", "-o", saved, "first");
    // A layer of an engine's own commit is known by its stream, as one that was loaded.
    const before = await machine.settledLayers();
    expect(before).toHaveLength(2);
    const other = new Engine(machine.host.namespace, "other");
    await other.start(ON_LAGAN);
    try {
      const env = { ...machine.host.namespace.env, DOCKER_HOST: other.address };
      const docker2 = (...args: readonly string[]) => mustRun(["docker", ...args], { env });
      await docker2("load", "-i", saved);
      expect(await machine.settledLayers()).toEqual(before);
      await docker("rmi", "first", "busybox");
      const read = ["run", "--rm", "--network=none", "first", "cat", "/d/kept/three"];
      expect(await docker2(...read)).toBe("3");
      expect(await machine.settledLayers()).toEqual(before);
      await docker2("rmi", "first");
    } finally {
      await other.stop();
    }
  });

  it("refuses what it cannot do, in a sentence", async () => {
    await machine.importBusybox();
    const sized = await machine.host.docker(
      ...["run", "--rm", "--network=none", "--storage-opt", "size=10M", "busybox", "true"],
    );
    expect(sized.code).toBe(125);
    expect(sized.stderr).toMatch(/Cannot .*size/);
    const unknown = await machine.host.docker(
      ...["run", "--rm", "--network=none", "--storage-opt", "sise=10M", "busybox", "true"],
    );
    expect(unknown.stderr).toContain('the storage option "sise" is not known');
  });
});
