import { ServableError } from "../../errors.ts";

/** What a look at the bytes found that the decoder can't tell. */
export interface MessagePackFindings {
  /** Whether a map has the key `prototype`, which is dangerous inside one under the key `constructor`. */
  readonly hasPrototypeKey: boolean;
}

/**
 * Checks that bytes are exactly one MessagePack value, before any of it is decoded. A decoder makes room for as many items as a header
 * claims, so five bytes could ask for gigabytes; here every item that is claimed must have a byte of its own.
 *
 * @throws ServableError `invalid_request` for truncated, trailing, unknown or too deeply nested bytes, texts that are not UTF-8, the key
 * `__proto__`, and integers that a JavaScript number can't hold
 */
export function checkMessagePack(bytes: Uint8Array, maxDepth: number): MessagePackFindings {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // For each open list or map, how many items it still lacks; a map's keys and values count one each.
  const lacking: number[] = [];
  const isMap: boolean[] = [];
  // How many items are still to begin; each begins with a byte of its own.
  let owed = 1;
  let position = 0;
  let hasPrototypeKey = false;

  const need = (count: number): void => {
    if (position + count > bytes.length) throw truncated();
  };
  const unsigned = (size: number): number => {
    need(size);
    const value = size === 1 ? view.getUint8(position) : size === 2 ? view.getUint16(position) : view.getUint32(position);
    position += size;
    return value;
  };
  const skip = (count: number): void => {
    need(count);
    position += count;
  };
  const open = (count: number, map: boolean): void => {
    const items = map ? count * 2 : count;
    owed += items;
    if (owed > bytes.length - position) throw truncated();
    if (lacking.length >= maxDepth) throw invalid(`nests lists and maps more than ${maxDepth} deep; send a flatter value`);
    lacking.push(items);
    isMap.push(map);
  };
  const text = (length: number): void => {
    const start = position;
    skip(length);
    const content = bytes.subarray(start, position);
    const isKey = isMap.at(-1) === true && (lacking.at(-1) ?? 0) % 2 === 0;
    if (isKey && length === 9) {
      const key = String.fromCharCode(...content);
      if (key === "__proto__") throw invalid("has the key __proto__, which changes an object's prototype; leave it out");
      hasPrototypeKey ||= key === "prototype";
    }
    if (!isAscii(content)) checkUtf8(content, start);
  };
  const wideInteger = (signed: boolean): void => {
    need(8);
    const value = signed ? view.getBigInt64(position) : view.getBigUint64(position);
    if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
      throw invalid(`has an integer at byte ${position} that a number can't hold exactly (over 2^53); send it as a text`);
    }
    position += 8;
  };

  const rest = (head: number): void => {
    // Small integers, nil, false and true have no more bytes.
    if (head <= 0x7f || head >= 0xe0 || head === 0xc0 || head === 0xc2 || head === 0xc3) return;
    if (head <= 0x8f) open(head & 0x0f, true);
    else if (head <= 0x9f) open(head & 0x0f, false);
    else if (head <= 0xbf) text(head & 0x1f);
    else if (head === 0xc1) throw invalid(`has the byte 0xc1 at ${position - 1}, which means nothing`);
    else if (head <= 0xc6) skip(unsigned(1 << (head - 0xc4)));
    else if (head <= 0xc9) skip(unsigned(1 << (head - 0xc7)) + 1);
    else if (head <= 0xcb) skip(head === 0xca ? 4 : 8);
    else if (head === 0xcf || head === 0xd3) wideInteger(head === 0xd3);
    else if (head <= 0xd2) skip(1 << ((head - 0xcc) % 4));
    else if (head <= 0xd8) skip((1 << (head - 0xd4)) + 1);
    else if (head <= 0xdb) text(unsigned(1 << (head - 0xd9)));
    else if (head <= 0xdd) open(unsigned(head === 0xdc ? 2 : 4), false);
    else open(unsigned(head === 0xde ? 2 : 4), true);
  };

  while (owed > 0) {
    const depth = lacking.length;
    owed--;
    rest(unsigned(1));
    // An item is complete, unless it is a list or a map that lacks its own items; completing the last one completes what holds it.
    if (lacking.length > depth && lacking.at(-1) !== 0) continue;
    if (lacking.length > depth) {
      lacking.pop();
      isMap.pop();
    }
    for (let left = lacking.pop(); left !== undefined; left = lacking.pop()) {
      if (left > 1) {
        lacking.push(left - 1);
        break;
      }
      isMap.pop();
    }
  }
  if (position < bytes.length) throw invalid(`goes on after its first value, at byte ${position}; send one value`);
  return { hasPrototypeKey };
}

function invalid(what: string): ServableError {
  return new ServableError("invalid_request", `The MessagePack body ${what}.`);
}

function truncated(): ServableError {
  return invalid("ends before its value is complete; it is truncated, or it is not MessagePack");
}

function isAscii(bytes: Uint8Array): boolean {
  let all = 0;
  for (const byte of bytes) all |= byte;
  return all < 0x80;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function checkUtf8(bytes: Uint8Array, start: number): void {
  try {
    utf8.decode(bytes);
  } catch {
    throw invalid(`has a text at byte ${start} that is not valid UTF-8; send other bytes as binary`);
  }
}
