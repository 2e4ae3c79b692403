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

/**
 * The same messages, but those with large tensors are not put together before grpc-js does so anyway, which copies a message behind the head of
 * its frame: a tensor is then copied once on its way out, from where it is. For calls that are not compressed: there is nothing in such a Buffer
 * but how it is copied.
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
  // The order of fields means nothing to who reads them.
  const parts = [type.encode({ ...message, [key]: [] }).finish()];
  for (const content of contents) parts.push(Uint8Array.from([...varint(tag), ...varint(content.byteLength)]), content);
  return copiedFrom(parts);
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
