/** Where a text stops being JSON, and why. */
export interface JsonSyntaxError {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** What was expected and what was found, with a hint where the mistake is a common one. */
  readonly reason: string;
}

/** What people write who think of another language, and what JSON has instead. */
const commonMistakes: readonly (readonly [RegExp, string])[] = [
  [/-?NaN\b/y, "NaN is not JSON; send null, or a number that exists"],
  [/[-+]?Infinity\b/y, "Infinity is not JSON; send null, or a finite number"],
  [/undefined\b/y, "undefined is not JSON; send null, or leave the property out"],
  [/(?:True|False)\b/y, "JSON writes true and false in lower case"],
  [/None\b/y, "None is not JSON; send null"],
  [/'/y, "JSON puts texts in double quotes, not in single quotes"],
  [/\/[/*]/y, "JSON has no comments"],
  [/[+.]\d/y, "a JSON number starts with a digit or with -"],
];

const whitespace = /[ \t\n\r]*/y;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const literal = /true|false|null/y;
// RFC 8259 section 7: control characters must be escaped
const plainText = /[^"\\\u0000-\u001f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/y;

/**
 * Finds where a text stops being JSON (RFC 8259). `JSON.parse` tells it in words that differ from host to host, not always with the
 * position, and with a good part of the text, which has no place in an error message. This runs only once `JSON.parse` has failed.
 *
 * @returns undefined where the text is JSON
 */
export function findJsonSyntaxError(text: string): JsonSyntaxError | undefined {
  let position = 0;
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = position;
    if (!pattern.test(text)) return false;
    position = pattern.lastIndex;
    return true;
  };
  const fail = (expected: string): JsonSyntaxError => describe(text, position, expected);
  // One entry for each open container; a recursion would overflow on what it is meant to describe.
  const open: ("{" | "[")[] = [];

  const readText = (): JsonSyntaxError | undefined => {
    position++;
    do skip(plainText);
    while (skip(escape));
    const found = text[position];
    if (found === undefined) return fail("the closing quote of a text is expected");
    if (found === "\\") return fail('an escape such as \\n, \\" or \\u00e9 is expected');
    if (found !== '"') return fail("a control character in a text must be escaped (a line break is \\n)");
    position++;
    return undefined;
  };
  const readKey = (): JsonSyntaxError | undefined => {
    skip(whitespace);
    if (text[position] !== '"') return fail("a property name in double quotes is expected");
    const failure = readText();
    if (failure !== undefined) return failure;
    skip(whitespace);
    if (text[position] !== ":") return fail("':' is expected after a property name");
    position++;
    return undefined;
  };

  for (;;) {
    skip(whitespace);
    const start = text[position];
    let closed = false;
    if (start === "{" || start === "[") {
      position++;
      skip(whitespace);
      if (text[position] === (start === "{" ? "}" : "]")) {
        position++;
        closed = true;
      } else {
        open.push(start);
        const failure = start === "{" ? readKey() : undefined;
        if (failure !== undefined) return failure;
      }
    } else if (start === '"') {
      const failure = readText();
      if (failure !== undefined) return failure;
      closed = true;
    } else if (skip(literal) || skip(number)) {
      closed = true;
    } else {
      return fail("a value is expected");
    }
    while (closed) {
      skip(whitespace);
      const container = open.at(-1);
      const next = text[position];
      if (container === undefined) return next === undefined ? undefined : fail("nothing more is expected after the value");
      if (next === ",") {
        position++;
        const failure = container === "{" ? readKey() : undefined;
        if (failure !== undefined) return failure;
        closed = false;
      } else if (next === (container === "{" ? "}" : "]")) {
        position++;
        open.pop();
      } else {
        return fail(container === "{" ? "',' or '}' is expected" : "',' or ']' is expected");
      }
    }
  }
}

function describe(text: string, position: number, expected: string): JsonSyntaxError {
  const before = text.slice(0, position);
  const line = before.split("\n").length;
  const column = position - before.lastIndexOf("\n");
  const reason = commonMistakes.find(([pattern]) => {
    pattern.lastIndex = position;
    return pattern.test(text);
  })?.[1];
  if (reason !== undefined) return { line, column, reason };
  const found = text.codePointAt(position);
  if (found === undefined) return { line, column, reason: `${expected}, but the body ends here` };
  const comma = /,[ \t\n\r]*$/.test(before.slice(-64)) && (found === 0x7d || found === 0x5d);
  const hint = comma ? "; JSON allows no comma before a closing bracket" : "";
  return { line, column, reason: `${expected}, found ${JSON.stringify(String.fromCodePoint(found))}${hint}` };
}
