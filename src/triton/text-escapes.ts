/** What an escape in a string stands for and where it ends, or what is wrong with it. */
type Escape = { readonly bytes: Uint8Array; readonly end: number } | { readonly problem: string };

const simple: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
  "\\": 92,
  "?": 63,
  "'": 39,
  '"': 34,
};

const octal = /[0-7]{1,3}/y;
const hex = /[xX]([0-9a-fA-F]{1,2})/y;
const short = /u([0-9a-fA-F]{4})/y;
const pair = /u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/y;
const long = /U([0-9a-fA-F]{8})/y;

/** Reads the escape whose backslash stands at `offset`, by the rules of C and of protobuf's text: bytes by \ooo and \xhh, text by \u and \U. */
export function readEscape(text: string, offset: number): Escape {
  const at = offset + 1;
  const plain = simple[text.charAt(at)];
  if (plain !== undefined) return { bytes: Uint8Array.of(plain), end: at + 1 };
  const byOctal = match(octal, text, at);
  if (byOctal !== undefined) {
    const value = Number.parseInt(byOctal[0], 8);
    return value > 255
      ? { problem: `\\${byOctal[0]} is more than a byte holds (\\377).` }
      : { bytes: Uint8Array.of(value), end: octal.lastIndex };
  }
  const byHex = match(hex, text, at);
  if (byHex !== undefined) return { bytes: Uint8Array.of(Number.parseInt(byHex[1] ?? "", 16)), end: hex.lastIndex };
  const surrogates = match(pair, text, at);
  if (surrogates !== undefined) {
    const units = [surrogates[1], surrogates[2]].map((digits) => Number.parseInt(digits ?? "", 16));
    return { bytes: Buffer.from(String.fromCharCode(...units), "utf8"), end: pair.lastIndex };
  }
  const pattern = text.charAt(at) === "U" ? long : short;
  const point = match(pattern, text, at);
  if (point === undefined)
    return { problem: "This is no escape. Known are \\n \\t \\\" \\' \\\\ and such, \\ooo, \\xhh, \\uhhhh and \\U00hhhhhh." };
  const value = Number.parseInt(point[1] ?? "", 16);
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return { problem: `\\${point[0]} is no character of Unicode.` };
  return { bytes: Buffer.from(String.fromCodePoint(value), "utf8"), end: pattern.lastIndex };
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}
