import type { Random } from "./random.ts";

const words: readonly bigint[] = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];

const steps: readonly ((random: Random, bytes: Buffer, at: number) => Buffer)[] = [
  (random, bytes, at) => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
    return copy;
  },
  (random, bytes, at) => {
    const copy = Buffer.from(bytes);
    copy[at] = random.from([0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x5d, 0x7b, 0x7d, 0x2c, 0x5c, 0x0a]);
    return copy;
  },
  (random, bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.size(64))]),
  (random, bytes, at) => {
    const piece = bytes.subarray(at, at + 1 + random.size(256));
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
  },
  (random, bytes, at) => Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.size(64)), bytes.subarray(at)]),
  (_random, bytes, at) => bytes.subarray(0, at),
  (random, bytes) => Buffer.concat([bytes, random.bytes(1 + random.size(64))]),
  (random, bytes, at) => {
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(random.from(words));
    const copy = Buffer.from(bytes);
    word.copy(copy, at, 0, random.from([2, 4, 8]));
    return copy;
  },
];

/** The same bytes with something wrong in them, mostly in one place, sometimes in many. */
export function mutate(random: Random, bytes: Uint8Array): Buffer {
  let mutated: Buffer = Buffer.from(bytes);
  const rounds = random.chance(0.6) ? 1 : random.between(2, 8);
  for (let round = 0; round < rounds; round++) mutated = Buffer.from(random.from(steps)(random, mutated, random.below(mutated.length + 1)));
  return mutated;
}

/** Text that programs stumble over. */
export function hostileText(random: Random): string {
  const text = random.from(texts);
  return typeof text === "function" ? text(random) : text;
}

/** The same, as text that UTF-8 can hold. */
export function wholeText(random: Random): string {
  return Buffer.from(hostileText(random)).toString();
}

const texts: readonly (string | ((random: Random) => string))[] = [
  ...[
    "",
    " ",
    ".",
    "..",
    "../..",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "/",
    "\\",
    "a/b",
    "~",
    "*",
    "'",
    '"',
    "$(id)",
  ],
  ...[
    "\0",
    "a\0b",
    "%00",
    "\r\n",
    "x\r\nset-cookie: a=b",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "\ud800",
    "😀",
    "é",
    "%",
    "%zz",
    "%c0%af",
    "{}",
    "[]",
  ],
  ...[
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "null",
    "undefined",
    "NaN",
    "true",
    "0",
    "-1",
    "1e999",
    "stats",
    "versions",
  ],
  ...[
    "id_fp32",
    "plain",
    "ensemble",
    "x",
    "y",
    "FP32",
    "BYTES",
    "BF16",
    "TYPE_FP32",
    "con",
    "config.pbtxt",
    "1",
    "01",
    "+1",
    "18446744073709551616",
  ],
  (random) => "a".repeat(random.between(200, 5_000)),
  (random) => "../".repeat(random.between(1, 50)),
  (random) => random.bytes(random.between(1, 40)).toString("latin1"),
  (random) => random.bytes(random.between(1, 40)).toString("utf8"),
  (random) => "é".repeat(random.between(1, 3_000)),
];
