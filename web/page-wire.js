// @ts-check
/** What goes over the wire and how it is written down for people. Pure: no browser is needed, and the tests use none. */

/**
 * Where and why a text is not JSON, or undefined where it is.
 * @param {string} text
 * @returns {{ line: number, column: number, reason: string } | undefined}
 */
export function jsonProblem(text) {
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    // Browsers word and place their errors differently, some not at all: the place is found below, the same in all of them.
  }
  let at = 0;
  const take = (/** @type {RegExp} */ pattern) => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at += match[0].length;
    return match !== null;
  };
  const space = () => take(/[ \t\r\n]*/y);
  const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
  /** @returns {string | undefined} the reason, with `at` where it is */
  const value = () => {
    space();
    if (take(/\{/y))
      return list(/\}/y, "}", () => (space(), take(string) ? (space(), take(/:/y) ? value() : "a colon is missing") : name()));
    if (take(/\[/y)) return list(/\]/y, "]", value);
    if (text[at] === '"') return take(string) ? undefined : "this text has no end, or holds a character that must be escaped";
    if (take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)\b/y)) return undefined;
    return at >= text.length ? "the text ends too early" : text[at] === "'" ? "JSON wants double quotes" : "a value is expected here";
  };
  const name = () =>
    at >= text.length
      ? "the text ends too early"
      : text[at] === "}"
        ? "a comma too many before this"
        : "a name in double quotes is expected here";
  /** @type {(end: RegExp, endText: string, item: () => string | undefined) => string | undefined} */
  const list = (end, endText, item) => {
    space();
    if (take(end)) return undefined;
    for (;;) {
      const reason = item();
      if (reason !== undefined) return text[at] === "]" && endText === "]" ? "a comma too many before this" : reason;
      space();
      if (take(end)) return undefined;
      if (!take(/,/y)) return at >= text.length ? `the text ends before its ${endText}` : `a comma or ${endText} is expected here`;
    }
  };
  /** @type {string | undefined} */
  let reason;
  try {
    reason = value() ?? (space(), at < text.length ? "nothing more is expected here" : undefined);
  } catch {
    reason = "it nests too deeply";
  }
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1, reason: reason ?? "this is not JSON" };
}

/**
 * JSON without the space between its tokens; digits stay as they were typed.
 * @param {string} text
 */
export const compactJson = (text) => text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");

/**
 * JSON for people: what fits on one line stays on it.
 * @param {unknown} value
 * @param {number} [width] characters in a line
 * @param {string} [indent]
 * @param {number} [taken] characters that stand on the line already
 * @returns {string}
 */
export function prettyJson(value, width = 62, indent = "", taken = 0) {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  // What is longer without its spaces can't fit with them, and need not be written to know.
  if (isShort(value, width)) {
    const line = spaced(value);
    if (indent.length + taken + line.length < width) return line;
  }
  const inner = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((item) => inner + prettyJson(item, width, inner)).join(",\n")}\n${indent}]`;
  const lines = Object.entries(value).map(([key, item]) => {
    const name = `${JSON.stringify(key)}: `;
    return inner + name + prettyJson(item, width, inner, name.length);
  });
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

/**
 * Whether a value has so few parts that its line may be short.
 * @param {object} value
 * @param {number} width
 */
function isShort(value, width) {
  let parts = 0;
  const pending = [value];
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const items = Object.values(part);
    parts += items.length;
    if (parts * 2 > width) return false;
    pending.push(...items.filter((item) => typeof item === "object" && item !== null));
  }
  return true;
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`);
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

/** @param {number} bytes */
export function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** @param {number} milliseconds */
export const timeText = (milliseconds) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;

/** @param {string} text */
const shellQuote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * @typedef {object} Call
 * @property {string} url
 * @property {Record<string, string>} headers without the token
 * @property {string | undefined} text the body, where it is a text
 * @property {File | undefined} file the body, or the file in the form
 * @property {string | undefined} field the form's field for the file; undefined where the file itself is the body
 * @property {Record<string, string>} fields the form's other fields
 */

/**
 * A curl command for exactly this call. The token is left to a variable of the shell, so that it does not end up in its history.
 * @param {Call} call
 * @param {boolean} withToken
 */
export function curlLine(call, withToken) {
  const parts = [`curl ${call.headers["accept"]?.includes("event-stream") ? "-N " : ""}${shellQuote(call.url)}`];
  for (const [name, value] of Object.entries(call.headers)) parts.push(`-H ${shellQuote(`${name}: ${value}`)}`);
  if (withToken) parts.push('-H "authorization: Bearer $TOKEN"');
  if (call.field !== undefined) {
    for (const [name, value] of Object.entries(call.fields)) parts.push(`--form-string ${shellQuote(`${name}=${value}`)}`);
    parts.push(`-F ${shellQuote(`${call.field}=@${call.file?.name ?? "FILE"}${call.file?.type ? `;type=${call.file.type}` : ""}`)}`);
  } else if (call.text === undefined) {
    parts.push(`--data-binary ${shellQuote(`@${call.file?.name ?? "FILE"}`)}`);
  } else {
    parts.push(`--data-raw ${shellQuote(call.text)}`);
  }
  return parts.join(" \\\n  ");
}

/**
 * Reads a stream's text as it comes: give it each piece, and it gives the events that are whole.
 * @param {string} contentType
 * @returns {(piece: string) => { event: string, data: string }[]}
 */
export function streamReader(contentType) {
  let rest = "";
  const isEvents = contentType.startsWith("text/event-stream");
  return (piece) => {
    rest += piece;
    // A line break of two characters may be cut in two: what ends in a carriage return waits for the next piece.
    const blocks = rest.split(isEvents ? /\r\n\r\n|\n\n|\r\r/ : /\r?\n/);
    rest = blocks.pop() ?? "";
    return blocks.flatMap((block) => {
      if (!isEvents) return block.trim() === "" ? [] : [{ event: "message", data: block }];
      let event = "message";
      /** @type {string[]} */
      const data = [];
      for (const line of block.split(/\r\n|\n|\r/)) {
        const [, field, value] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
        if (field === "event" && value) event = value;
        if (field === "data") data.push(value ?? "");
      }
      return data.length === 0 && event === "message" ? [] : [{ event, data: data.join("\n") }];
    });
  };
}

/** @typedef {{ box: [number, number][], text: string, score: number | undefined }} Box */

/**
 * Finds things with a place in a picture: the first list of objects that each have a `box`, a list of [x, y] points.
 * @param {unknown} value
 * @returns {Box[]}
 */
export function boxesIn(value) {
  const isPoint = (/** @type {unknown} */ point) =>
    Array.isArray(point) && point.length === 2 && point.every((number) => typeof number === "number");
  const hasBox = (/** @type {any} */ item) => Array.isArray(item?.box) && item.box.length >= 3 && item.box.every(isPoint);
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value) && value.length > 0 && value.every(hasBox)) {
    return value.map((item) => ({
      box: item.box,
      text: String(item.text ?? item.label ?? item.class ?? item.name ?? ""),
      score: [item.score, item.confidence].find((score) => typeof score === "number"),
    }));
  }
  for (const part of Object.values(value)) {
    const found = boxesIn(part);
    if (found.length > 0) return found;
  }
  return [];
}

/**
 * What `/readyz` says, in a word and in words.
 * @param {number} status
 * @param {any} body
 * @returns {{ state: "ready" | "degraded" | "down", word: string, reason: string }}
 */
export function readState(status, body) {
  const word = typeof body?.status === "string" ? body.status.replaceAll("_", " ") : status === 200 ? "ready" : "not ready";
  const reason = typeof body?.reason === "string" && body.reason !== body.status ? body.reason : "";
  return { state: status !== 200 ? "down" : word === "degraded" ? "degraded" : "ready", word, reason };
}
