/**
 * Counts the bytes that JavaScript copies on this thread: whatever makes bytes out of bytes is wrapped. Comes first of all modules. What Node itself
 * copies between a socket and the pieces that it hands on is not seen.
 */
type Bytes = ArrayBufferView | ArrayBufferLike | readonly number[];

let copied = 0;
const places = new Map<string, number>();
const sizeOf = (value: unknown): number => (ArrayBuffer.isView(value) ? value.byteLength : 0);

function count(place: string, bytes: number): void {
  copied += bytes;
  places.set(place, (places.get(place) ?? 0) + bytes);
}

/** Puts a function that counts in a method's place. */
function wrap(holder: object, name: string, bytesOf: (self: unknown, given: readonly unknown[], result: unknown) => number): void {
  const method = Reflect.get(holder, name) as (this: unknown, ...given: unknown[]) => unknown;
  const counting = function (this: unknown, ...given: unknown[]): unknown {
    const result = Reflect.apply(method, this, given);
    count(name, bytesOf(this, given, result));
    return result;
  };
  Reflect.defineProperty(holder, name, { value: counting, writable: true, configurable: true });
}

const typedArrays = Object.getPrototypeOf(Uint8Array.prototype) as object;
wrap(typedArrays, "slice", (_self, _given, result) => sizeOf(result));
wrap(typedArrays, "set", (_self, [source]) => sizeOf(source));
wrap(Buffer, "concat", (_self, _given, result) => sizeOf(result));
wrap(Buffer.prototype as object, "copy", (_self, _given, result) => Number(result));
globalThis.Uint8Array = new Proxy(Uint8Array, {
  construct(target, given: [Bytes], made) {
    const result = Reflect.construct(target, given, made === globalThis.Uint8Array ? target : made) as Uint8Array;
    count("new Uint8Array", sizeOf(given[0]));
    return result;
  },
});

/** From now on. */
export function mark(): void {
  copied = 0;
  places.clear();
}

/** How many bytes were copied since {@link mark}, and by what. */
export function copiedSince(): { readonly bytes: number; readonly places: Readonly<Record<string, number>> } {
  return { bytes: copied, places: Object.fromEntries(places) };
}
