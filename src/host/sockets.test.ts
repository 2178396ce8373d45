import { expect, it } from "vitest";
import { socketPathOf } from "./sockets.ts";

it("takes an endpoint in every spelling that clients have", () => {
  for (const endpoint of [
    "unix:///run/csi.sock",
    "unix:/run/csi.sock",
    "unix://run/csi.sock",
    "/run/csi.sock",
  ]) {
    expect(socketPathOf(endpoint), endpoint).toBe("/run/csi.sock");
  }
  for (const endpoint of [
    "",
    "unix:",
    "unix://",
    "/",
    "run/csi.sock",
    "unix:run",
    "tcp://1.2.3.4:5",
    "unix:///a\0b",
  ]) {
    expect(() => socketPathOf(endpoint), endpoint).toThrowError(
      expect.objectContaining({ code: "invalid_argument" }),
    );
  }
});
