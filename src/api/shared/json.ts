import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { isUtf8 } from "../../core/utf8.ts";

/** Deepest nesting of a JSON body. Ours need two. */
const BODY_DEPTH_LIMIT = 8;

/**
 * A JSON text as a value, more strictly than `JSON.parse`: a key that stands twice in one object would lose a
 * value silently, and `__proto__` is lost by the code that handles objects.
 *
 * @throws {Failure} `invalid_argument`, also for nesting deeper than {@link BODY_DEPTH_LIMIT}.
 */
export function parseStrictJson(text: string): unknown {
  const value = parseJson(text);
  /** One entry for each open object or array: the keys seen, or undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let mayBeKey = false;
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/g)) {
    const keys = open.at(-1);
    if (/\\u[dD]/.test(token) && !isUtf8(String(JSON.parse(token)))) {
      throw refused(`${quote(String(JSON.parse(token)))} holds half of a surrogate pair`);
    }
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      if (open.length > BODY_DEPTH_LIMIT) {
        throw refused(`it is nested deeper than ${BODY_DEPTH_LIMIT} levels`);
      }
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (mayBeKey && keys !== undefined && token.startsWith('"')) {
      const key = String(JSON.parse(token));
      if (keys.has(key)) throw refused(`${quote(key)} stands in it twice`);
      if (key === "__proto__") throw refused('"__proto__" cannot be a key');
      keys.add(key);
    }
    mayBeKey = token === "{" || token === ",";
  }
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refused(`${quote(text)} is not JSON`);
  }
}

function refused(why: string): Failure {
  return new Failure("invalid_argument", `Cannot read the request body: ${why}`);
}
