import { setTimeout } from "node:timers/promises";
import { Failure } from "../core/failure.ts";
import { DEFAULT_REGISTRY } from "../core/image/reference.ts";
import { quote } from "../core/name.ts";
import type { Credentials } from "../core/ports/image-source.ts";
import { authorize, notLoggedIn, parseChallenge } from "./registry-auth.ts";

/** How often one question is asked before it is given up. */
export const ATTEMPTS = 5;
/** How long before the second attempt, in milliseconds; doubled with each. */
const PAUSE_MS = 300;
/** Longest wait for the head of an answer, in milliseconds. */
const ANSWER_TIMEOUT_MS = 30_000;
const REDIRECTS_LIMIT = 5;
/** Docker's own registry is at another host than its name. */
const HUB = "https://registry-1.docker.io";

/** Where one repository is. */
export interface RegistryPlace {
  readonly registry: string;
  readonly repository: string;
  readonly credentials: Credentials | null;
}

/** True for hosts that are this machine: they are asked without TLS, as Docker does. */
export function isLoopback(registry: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(registry);
}

/** One repository of a registry (distribution spec 1.1): questions, with login, redirects and retries. */
export class RegistryClient {
  readonly #place: RegistryPlace;
  readonly #origin: string;
  #authorization: Promise<string> | undefined;

  constructor(place: RegistryPlace) {
    this.#place = place;
    const { registry } = place;
    const plain = isLoopback(registry);
    this.#origin =
      registry === DEFAULT_REGISTRY ? HUB : `${plain ? "http" : "https"}://${registry}`;
  }

  /**
   * Asks for `/v2/REPOSITORY/WHAT`; the answer is a success, its body not yet read.
   *
   * @throws {Failure} as `ImageSources.fromRegistry`.
   */
  async get(
    what: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> {
    const url = new URL(`/v2/${this.#place.repository}/${what}`, this.#origin);
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#ask(url, headers, signal).catch((thrown: unknown) => {
        signal.throwIfAborted();
        if (thrown instanceof Failure && !thrown.retryable) throw thrown;
        return thrown;
      });
      if (answer instanceof Response && answer.ok) return answer;
      if (answer instanceof Response) {
        await answer.body?.cancel().catch(() => undefined);
        if (answer.status < 500 && answer.status !== 429) throw this.#refusal(what, answer);
      }
      if (attempt >= ATTEMPTS) throw this.#silent(answer);
      await pause(attempt, signal);
    }
  }

  async #ask(
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> {
    const known = this.#authorization;
    const answer = await this.#follow(url, headers, await known, signal);
    if (answer.status !== 401) return answer;
    const challenge = parseChallenge(answer.headers.get("www-authenticate") ?? "");
    await answer.body?.cancel().catch(() => undefined);
    const { registry } = this.#place;
    if (challenge === undefined) throw notLoggedIn(registry, "it asks for a login");
    // Of many that are told so at once, the first logs in.
    if (this.#authorization === known) {
      const plain = this.#origin.startsWith("http:");
      const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
      this.#authorization = authorize(challenge, { ...this.#place, plain }, limited);
      this.#authorization.catch(() => {
        this.#authorization = undefined;
      });
    }
    return this.#follow(url, headers, await this.#authorization, signal);
  }

  /** Follows redirects; the login goes to the registry alone, and never from TLS to none. */
  async #follow(
    url: URL,
    headers: Readonly<Record<string, string>>,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    let at = url;
    for (let redirects = 0; redirects <= REDIRECTS_LIMIT; redirects++) {
      const login = at.origin === url.origin && authorization !== undefined;
      const answer = await fetchHead(at, login ? { ...headers, authorization } : headers, signal);
      const location = answer.headers.get("location");
      if (answer.status < 300 || answer.status > 399 || location === null) return answer;
      await answer.body?.cancel().catch(() => undefined);
      const next = URL.canParse(location, at) ? new URL(location, at) : undefined;
      const isSafe = next?.protocol === "https:" || next?.protocol === at.protocol;
      if (next === undefined || !isSafe) {
        throw new Failure(
          "failed_precondition",
          `Cannot ask the registry ${this.#place.registry}: it sends on to ${quote(location)}, which is not asked`,
        );
      }
      at = next;
    }
    throw new Failure(
      "failed_precondition",
      `Cannot ask the registry ${this.#place.registry}: it sends on more than ${REDIRECTS_LIMIT} times`,
    );
  }

  #refusal(what: string, { status }: Response): Failure {
    const { registry, repository, credentials } = this.#place;
    if (status === 401) return notLoggedIn(registry, "it refuses the credentials");
    if (status === 403) {
      const who = credentials === null ? "nobody without a login" : "not with this login";
      return new Failure(
        "permission_denied",
        `Cannot ask the registry ${registry} for ${repository}: it lets in ${who}; see: docker login ${registry}`,
      );
    }
    const name = what.slice(what.indexOf("/") + 1);
    const code = status === 404 ? "not_found" : "failed_precondition";
    const why = status === 404 ? "it has none" : `it answered HTTP ${status}`;
    return new Failure(code, `Cannot get ${repository} ${name} from ${registry}: ${why}`);
  }

  #silent(last: unknown): Failure {
    const why =
      last instanceof Response
        ? `it answered HTTP ${last.status}`
        : last instanceof Failure
          ? last.message
          : reasonOf(last);
    return new Failure(
      "unavailable",
      `Cannot ask the registry ${this.#place.registry}, ${ATTEMPTS} times: ${why}`,
      { cause: last },
    );
  }
}

/** The head of an answer in time; its body takes as long as it takes. */
async function fetchHead(
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  const late = new AbortController();
  const timer = globalThis.setTimeout(
    () => late.abort(new Failure("unavailable", "it does not answer")),
    ANSWER_TIMEOUT_MS,
  );
  try {
    const both = AbortSignal.any([signal, late.signal]);
    return await fetch(url, { headers, signal: both, redirect: "manual" });
  } finally {
    clearTimeout(timer);
  }
}

/** Waits before the attempt after `attempt`. */
export function pause(attempt: number, signal: AbortSignal): Promise<void> {
  return setTimeout(PAUSE_MS * 2 ** (attempt - 1), undefined, { signal });
}

/** Why a fetch failed, in the words of what is below it. */
export function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? (thrown.cause ?? thrown) : thrown;
  if (cause instanceof Failure) return cause.message;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  return code ?? (cause instanceof Error ? cause.message : String(cause));
}
