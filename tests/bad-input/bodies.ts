/** A body that no entrance may take, and a part of what it must say. */
export interface BadBody {
  readonly title: string;
  readonly bytes: string | Uint8Array;
  readonly says: string;
}

const DEEP = 100_000;

/** `{"<key>":"data"<more>}` */
function named(key: string, more = ""): string {
  return `{"${key}":"data"${more}}`;
}

/**
 * Bodies of a call that asks for a new volume. Both doors read them by the same rules.
 *
 * @param key How the door spells `name`.
 * @param options How the door spells `options`.
 */
export function badBodies(key: string, options: string): readonly BadBody[] {
  const nested = (inner: string): string => named(key, `,"${options}":${inner}`);
  return [
    { title: "empty", bytes: "", says: "empty" },
    { title: "a word", bytes: "banana", says: "is not JSON" },
    { title: "a form", bytes: `${key}=data`, says: "is not JSON" },
    { title: "half an object", bytes: `{"${key}":"data"`, says: "is not JSON" },
    { title: "trailing text", bytes: `${named(key)} x`, says: "is not JSON" },
    { title: "two objects", bytes: named(key).repeat(2), says: "is not JSON" },
    { title: "a comma too many", bytes: `{"${key}":"data",}`, says: "is not JSON" },
    { title: "a comment", bytes: `/* x */ ${named(key)}`, says: "is not JSON" },
    { title: "NaN", bytes: `{"${key}":NaN}`, says: "is not JSON" },
    { title: "single quotes", bytes: `{'${key}':'data'}`, says: "is not JSON" },
    { title: "a raw newline in a text", bytes: `{"${key}":"da\nta"}`, says: "is not JSON" },
    { title: "NUL after it", bytes: `${named(key)}\0`, says: "is not JSON" },
    { title: "null", bytes: "null", says: "expected object" },
    { title: "an array", bytes: `[${named(key)}]`, says: "expected object" },
    { title: "a number", bytes: "5", says: "expected object" },
    { title: "a text", bytes: '"data"', says: "expected object" },
    { title: "true", bytes: "true", says: "expected object" },
    { title: "an empty object", bytes: "{}", says: key },
    { title: "a number for the name", bytes: `{"${key}":5}`, says: key },
    { title: "null for the name", bytes: `{"${key}":null}`, says: key },
    { title: "an array for the name", bytes: `{"${key}":["data"]}`, says: key },
    { title: "an object for the name", bytes: `{"${key}":{"a":"data"}}`, says: key },
    { title: "the name twice", bytes: named(key, `,"${key}":"other"`), says: "twice" },
    { title: "an escaped key twice", bytes: nested('{"uid":"1","u\\u0069d":"2"}'), says: "twice" },
    { title: "an option twice", bytes: nested('{"uid":"1","uid":"2"}'), says: "twice" },
    { title: "__proto__", bytes: named(key, ',"__proto__":{"x":"y"}'), says: "__proto__" },
    { title: "__proto__ as an option", bytes: nested('{"__proto__":"x"}'), says: "__proto__" },
    { title: "__proto__, escaped", bytes: nested('{"__pr\\u006fto__":"x"}'), says: "__proto__" },
    { title: "options as an array", bytes: nested('["uid=1"]'), says: options },
    { title: "options as a text", bytes: nested('"uid=1"'), says: options },
    { title: "a number for an option", bytes: nested('{"uid":5}'), says: `${options}.uid` },
    { title: "null for an option", bytes: nested('{"uid":null}'), says: `${options}.uid` },
    { title: "an object for an option", bytes: nested('{"uid":{}}'), says: `${options}.uid` },
    {
      title: `arrays ${DEEP} deep`,
      bytes: nested(`${"[".repeat(DEEP)}${"]".repeat(DEEP)}`),
      says: "nested deeper",
    },
    {
      title: `objects ${DEEP} deep`,
      bytes: `${'{"a":'.repeat(DEEP)}1${"}".repeat(DEEP)}`,
      says: "nested deeper",
    },
    { title: "depth without an end", bytes: "[".repeat(DEEP), says: "is not JSON" },
    {
      title: "half of a surrogate pair",
      bytes: nested('{"label.a":"\\ud83d"}'),
      says: "half of a surrogate pair",
    },
    {
      title: "bytes that are no UTF-8",
      bytes: Buffer.concat([
        Buffer.from(`{"${key}":"data","${options}":{"label.a":"`),
        Buffer.from([0xc3, 0x28, 0xff]),
        Buffer.from('"}}'),
      ]),
      says: "not UTF-8",
    },
    {
      title: "UTF-16",
      bytes: Buffer.from(`\ufeff${named(key)}`, "utf16le"),
      says: "not UTF-8",
    },
    {
      title: "65 labels",
      bytes: nested(
        JSON.stringify(
          Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`label.k${i}`, ""])),
        ),
      ),
      says: "at most 64",
    },
  ];
}
