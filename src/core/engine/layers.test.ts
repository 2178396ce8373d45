import { expect, it } from "vitest";
import type { EngineSettings } from "../ports/engine.ts";
import { judgeEngineLayers } from "./layers.ts";

const docker = (version: string, more: Partial<EngineSettings> = {}): EngineSettings => ({
  ...{ product: "docker", version, storageDriver: "overlay2", driverType: "" },
  ...{ volumePlugins: ["local"], ...more },
});

it.each([
  ["20.10.24+dfsg1", "dockerd --experimental --storage-driver=lagan"],
  ["26.1.0", "dockerd --experimental --storage-driver=lagan"],
  ["27.0.1", "DOCKERD_DEPRECATED_GRAPHDRIVER_PLUGINS=1 dockerd --experimental"],
  ["28.0.0", "the containerd image store"],
  ["29.1.0-rc.1", "the containerd image store"],
])("says how Docker %s could keep its layers here", (version, way) => {
  const judged = judgeEngineLayers(docker(version), "lagan");
  expect(judged).toMatchObject({ level: "ok", saw: expect.stringContaining(`here: ${way}`) });
});

it("warns of the graph driver where the next engine has none", () => {
  const on = { storageDriver: "lagan" };
  expect(judgeEngineLayers(docker("20.10.24", on), "lagan")?.level).toBe("ok");
  expect(judgeEngineLayers(docker("27.5.1", on), "lagan")).toMatchObject({
    level: "warn",
    advice: expect.stringContaining("docker save"),
  });
  const snapshotter = { ...on, driverType: "io.containerd.snapshotter.v1" };
  expect(judgeEngineLayers(docker("29.0.0", snapshotter), "lagan")?.level).toBe("ok");
});

it("has nothing to say of an engine that is not Docker", () => {
  expect(judgeEngineLayers({ ...docker("4.3.1"), product: "other" }, "lagan")).toBeUndefined();
});
