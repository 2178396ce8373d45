import type { Lagand } from "./lagand.ts";
import { call, type HttpAnswer } from "./unix-http.ts";

/** A REST call to a lagand, whatever it answers. */
export function rest(
  lagand: Lagand,
  method: string,
  path: string,
  body?: object,
): Promise<HttpAnswer> {
  return call({
    ...{ socketPath: lagand.socketPath, method, path, timeoutMs: 60_000 },
    ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
}

/** Makes a volume. @throws unless it is there then. */
export async function makeVolume(lagand: Lagand, name: string, pool?: string): Promise<void> {
  const options = pool === undefined ? {} : { pool };
  const { status, body } = await rest(lagand, "POST", "/v1/volumes", { name, options });
  if (status !== 200 && status !== 201) throw new Error(`Cannot make ${name}: ${status} ${body}`);
}

/** Names of the volumes. */
export async function volumeNames(lagand: Lagand): Promise<readonly string[]> {
  const page = (await lagand.get("/v1/volumes")) as { items: { name: string }[] };
  return page.items.map(({ name }) => name);
}

/** What the doctor says, a line each, with its level in front. */
export async function findings(lagand: Lagand): Promise<string> {
  const found = (await lagand.get("/v1/doctor")) as {
    findings: { level: string; check: string; saw: string }[];
  };
  return found.findings.map(({ level, check, saw }) => `${level} ${check}: ${saw}`).join("\n");
}

/** Health of a pool: its state, and why. */
export async function poolHealth(lagand: Lagand, pool: string): Promise<string> {
  const { health } = (await lagand.get(`/v1/pools/${pool}`)) as {
    health: { state: string; why?: string };
  };
  return `${health.state}: ${health.why ?? ""}`;
}
