/** What the generated code of a message can do. */
interface Encoding<P> {
  encode(message: P): { finish(): Uint8Array };
}

/** Which field of a message holds its tensors. */
interface RawField<P> {
  readonly key: keyof P & string;
  readonly number: number;
}

/** Beneath it a message is put together faster than it is kept in parts. */
const gatheredFrom = 65_536;
/** "Length-delimited", in the tag of a field. */
const lengthDelimited = 2;
/** The field `id`, a text in both messages. */
const idTag = (3 << 3) | lengthDelimited;
/** What grpc-js writes before a message, and its reader joins with it. */
const frameHeadBytes = 5;
/** The widest element has 8 bytes; typed arrays want to begin on a multiple of that. */
const widest = 8;

/**
 * The same messages, but those with large tensors are not put together before grpc-js does so anyway, which copies a message behind the head of
 * its frame: a tensor is then copied once on its way out, from where it is. For calls that are not compressed: there is nothing in such a Buffer
 * but how it is copied.
 *
 * Who reads it with grpc-js can read such tensors in place, since they begin where elements of any size may: what is missing before them is filled up with
 * ids. Of a field that comes more than once the last one counts, which is the message's own.
 *
 * @param field - repeated bytes, the last field of all
 */
export function gathering<P extends object, T extends Encoding<P>>(type: T, field: RawField<P>): T {
  const encode = (message: P): { finish(): Uint8Array } => ({ finish: () => gather(type, message, field) });
  return Object.assign(Object.create(type) as T, { encode });
}

function gather<P extends object>(type: Encoding<P>, message: P, { key, number }: RawField<P>): Uint8Array {
  const contents = message[key] as readonly Uint8Array[] | null | undefined;
  if (contents === null || contents === undefined || contents.every(({ byteLength }) => byteLength < gatheredFrom)) {
    return type.encode(message).finish();
  }
  const tag = (number << 3) | lengthDelimited;
  const parts: Uint8Array[] = [];
  let at = frameHeadBytes;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    at += part.byteLength;
  };
  // The order of fields means nothing to who reads them, but for the ids.
  for (const content of contents) {
    const head = [tag, ...varint(content.byteLength)];
    if (content.byteLength >= gatheredFrom) add(filler((widest - ((at + head.length) % widest)) % widest));
    add(Uint8Array.from(head));
    add(content);
  }
  add(filler(2));
  add(type.encode({ ...message, [key]: [] }).finish());
  return copiedFrom(parts);
}

/** An id of that many bytes in all, or 8 more where there is none so short. */
function filler(bytes: number): Uint8Array {
  if (bytes === 0) return new Uint8Array(0);
  const length = bytes < 2 ? bytes + widest - 2 : bytes - 2;
  return Uint8Array.from([idTag, length, ...new Array<number>(length).fill(0x20)]);
}

function copiedFrom(parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const copy = (target: Uint8Array, targetStart = 0): number => {
    let at = targetStart;
    for (const part of parts) {
      target.set(part, at);
      at += part.byteLength;
    }
    return length;
  };
  return Object.defineProperties(Buffer.alloc(0), { length: { value: length }, byteLength: { value: length }, copy: { value: copy } });
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}
