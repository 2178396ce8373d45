/*
 * A volume plugin that does as little as one can: `node bare-plugin.ts SOCKET DIRECTORY`. Volumes are directories, names are
 * kept in memory, nothing is checked or synced. What `docker run` takes with it is what the plugin protocol itself takes.
 */
import { mkdirSync, rmdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const [socketPath = "", directory = ""] = process.argv.slice(2);
const names = new Set<string>();
const describe = (name: string): object => ({ Name: name, Mountpoint: join(directory, name) });

function answer(call: string, name: string): object {
  switch (call) {
    case "/Plugin.Activate":
      return { Implements: ["VolumeDriver"] };
    case "/VolumeDriver.Capabilities":
      return { Capabilities: { Scope: "local" } };
    case "/VolumeDriver.Create":
      if (!names.has(name)) mkdirSync(join(directory, name));
      names.add(name);
      return { Err: "" };
    case "/VolumeDriver.Remove":
      rmdirSync(join(directory, name));
      names.delete(name);
      return { Err: "" };
    case "/VolumeDriver.List":
      return { Volumes: [...names].map(describe), Err: "" };
    case "/VolumeDriver.Get":
      return names.has(name) ? { Volume: describe(name), Err: "" } : { Err: "no such volume" };
    default:
      return { ...describe(name), Err: "" };
  }
}

mkdirSync(directory);
createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (text: string) => {
    body += text;
  });
  request.on("end", () => {
    const { Name = "" } = (body === "" ? {} : JSON.parse(body)) as { Name?: string };
    const told = answer(request.url ?? "", Name);
    const failed = "Err" in told && told.Err !== "";
    const text = JSON.stringify(told);
    response.writeHead(failed ? 500 : 200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    });
    response.end(text);
  });
}).listen(socketPath);
