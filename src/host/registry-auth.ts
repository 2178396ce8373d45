import { Failure } from "../core/failure.ts";
import { quote } from "../core/name.ts";
import type { Credentials } from "../core/ports/image-source.ts";

/** Largest answer of a token server, in bytes. */
const TOKEN_LIMIT_BYTES: number = 64 * 1024;

/** How a registry wants to be asked (RFC 9110, 11.6.1; distribution spec, token.md). */
export type Challenge =
  | { readonly scheme: "basic" }
  | {
      readonly scheme: "bearer";
      readonly realm: string;
      readonly service: string | null;
      readonly scope: string | null;
    };

/** Reads `WWW-Authenticate`. Undefined: it asks for nothing that is known here. */
export function parseChallenge(header: string): Challenge | undefined {
  const [, parameters] = /(?:^|[\s,])bearer\s+(.*)$/i.exec(header) ?? [];
  if (parameters === undefined) {
    return /(?:^|[\s,])basic(?:\s|,|$)/i.test(header) ? { scheme: "basic" } : undefined;
  }
  const values = new Map<string, string>();
  for (const [, key = "", value = ""] of parameters.matchAll(/([a-z]+)="([^"]{0,4096})"/gi)) {
    if (!values.has(key.toLowerCase())) values.set(key.toLowerCase(), value);
  }
  const realm = values.get("realm");
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const { service = null, scope = null } = Object.fromEntries(values);
  return { scheme: "bearer", realm, service, scope };
}

/** What a token is asked for. */
interface TokenRequest {
  readonly registry: string;
  readonly repository: string;
  readonly credentials: Credentials | null;
  /** The registry itself is asked without TLS, so its token server may be too. */
  readonly plain: boolean;
}

/**
 * The `Authorization` that answers a challenge.
 *
 * @throws {Failure} `unauthenticated` when there are no credentials, or they are not taken.
 */
export async function authorize(
  challenge: Challenge,
  request: TokenRequest,
  signal: AbortSignal,
): Promise<string> {
  const { credentials, registry } = request;
  if (challenge.scheme === "basic") {
    if (credentials === null) throw notLoggedIn(registry, "it asks for a login");
    return basicOf(credentials);
  }
  const realm = new URL(challenge.realm);
  if (realm.protocol !== "https:" && !(request.plain && realm.protocol === "http:")) {
    throw new Failure(
      "failed_precondition",
      `Cannot log in to ${registry}: its token server ${quote(challenge.realm)} is not asked without TLS`,
    );
  }
  const answer = await askToken(realm, challenge, request, signal);
  if (answer.status === 401 || answer.status === 403) {
    throw notLoggedIn(registry, "its token server refuses the credentials");
  }
  const token = answer.ok ? await tokenIn(answer) : undefined;
  if (token !== undefined) return `Bearer ${token}`;
  throw new Failure(
    "unavailable",
    `Cannot log in to ${registry}: its token server answered HTTP ${answer.status}`,
  );
}

function askToken(
  realm: URL,
  { service, scope }: Extract<Challenge, { scheme: "bearer" }>,
  { repository, credentials }: TokenRequest,
  signal: AbortSignal,
): Promise<Response> {
  const asked = new URLSearchParams();
  if (service !== null) asked.set("service", service);
  asked.set("scope", scope ?? `repository:${repository}:pull`);
  // Redirects could carry the credentials elsewhere.
  const options = { signal, redirect: "error" } as const;
  if (credentials?.identityToken !== undefined) {
    asked.set("grant_type", "refresh_token");
    asked.set("refresh_token", credentials.identityToken);
    asked.set("client_id", "lagan");
    return fetch(realm, { ...options, method: "POST", body: asked });
  }
  for (const [key, value] of asked) realm.searchParams.set(key, value);
  const headers = credentials === null ? {} : { authorization: basicOf(credentials) };
  return fetch(realm, { ...options, headers });
}

async function tokenIn(answer: Response): Promise<string | undefined> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of answer.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > TOKEN_LIMIT_BYTES) return undefined;
  }
  try {
    const { token, access_token: accessToken }: Record<string, unknown> = JSON.parse(text);
    const found = token ?? accessToken;
    return typeof found === "string" && /^[\x21-\x7e]+$/.test(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

function basicOf({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** For a registry that wants other credentials, or any. */
export function notLoggedIn(registry: string, why: string): Failure {
  return new Failure(
    "unauthenticated",
    `Cannot ask the registry ${registry}: ${why}; log in with: docker login ${registry}`,
  );
}
