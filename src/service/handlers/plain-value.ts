import { formatPath, ServableError } from "../../errors.ts";

/** What a format can hold besides what JSON can. */
export interface PlainRules {
  /** The format's name, for messages. */
  readonly format: string;
  /** Byte strings: a Uint8Array stays as it is. */
  readonly bytes?: boolean;
  /** Points in time: a Date stays as it is. */
  readonly dates?: boolean;
  /** NaN and the infinities. */
  readonly nonFinite?: boolean;
}

/**
 * Whether a typed array stands at the top of a value or directly in it, where models' answers have them. It saves writing a large one
 * as an object of indices first; those further down are found in the text.
 */
export function holdsTypedArray(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (ArrayBuffer.isView(value)) return true;
  if (Array.isArray(value)) return ArrayBuffer.isView(value[0]);
  // Not Object.values: this is on the way of every answer, and a list of the values costs as much as writing a small one.
  for (const key in value) {
    if (ArrayBuffer.isView(value[key as keyof typeof value])) return true;
  }
  return false;
}

/**
 * Prepares a value for a writer of plain data: typed arrays become lists; whatever `toJSON` gives takes its object's place; and what
 * the format can't hold, or would drop without a word, is an error that names the field. Parts that are fine are not copied.
 *
 * @throws ServableError `serialization_failed` for NaN, infinities, BigInts, circular references, and objects such as Map
 */
export function toPlain(root: unknown, rules: PlainRules): unknown {
  const { format } = rules;
  const path: (string | number)[] = [];
  const above: object[] = [];

  const fail = (what: string): ServableError => {
    const message = `The answer can't be written as ${format}: ${formatPath(path)} ${what}`;
    return new ServableError("serialization_failed", message, { issues: [{ path: [...path], message: `The field ${what}` }] });
  };
  const refuses = (value: number): boolean => rules.nonFinite !== true && !Number.isFinite(value);
  const notFinite = (value: number): ServableError =>
    fail(`is ${value}, which ${format} has no number for; give a finite number, or null.`);
  const bigint = (): ServableError => fail("is a BigInt, which is not written as a number; give Number(value) or String(value).");

  const listOf = (view: ArrayBufferView): unknown => {
    if (rules.bytes === true && view instanceof Uint8Array) return view;
    if (view instanceof DataView) throw fail("is a DataView; give a typed array or a list of numbers.");
    if (view instanceof BigInt64Array || view instanceof BigUint64Array) {
      if (view.length === 0) return [];
      path.push(0);
      throw bigint();
    }
    // Every other view that there is, is a list of numbers.
    const list = Array.from(view as Float64Array);
    for (let index = 0; index < list.length; index++) {
      const value = list[index] ?? 0;
      if (!refuses(value)) continue;
      path.push(index);
      throw notFinite(value);
    }
    return list;
  };

  const items = (list: readonly unknown[]): unknown => {
    let copy: unknown[] | undefined;
    for (let index = 0; index < list.length; index++) {
      const item = list[index];
      if (typeof item === "string" || Number.isFinite(item)) continue;
      path.push(index);
      const plain = visit(item, String(index));
      path.pop();
      if (!Object.is(plain, item)) (copy ??= [...list])[index] = plain;
    }
    return copy ?? list;
  };

  const properties = (object: object): unknown => {
    const entries: [string, unknown][] = Object.entries(object);
    // toJSON has been called; the writer must not find it a second time.
    let changed = hasToJson(object);
    for (const entry of entries) {
      path.push(entry[0]);
      const plain = visit(entry[1], entry[0]);
      path.pop();
      if (Object.is(plain, entry[1])) continue;
      entry[1] = plain;
      changed = true;
    }
    return changed ? Object.fromEntries(entries.filter(([, value]) => typeof value !== "function")) : object;
  };

  const visit = (given: unknown, key: string): unknown => {
    // Before toJSON: Node's Buffer has one that writes { type, data }.
    if (ArrayBuffer.isView(given)) return listOf(given);
    if (rules.dates === true && given instanceof Date) return given;
    const value = hasToJson(given) ? given.toJSON(key) : given;
    if (typeof value === "number" && refuses(value)) throw notFinite(value);
    if (typeof value === "bigint") throw bigint();
    if (typeof value !== "object" || value === null) return value;
    if (ArrayBuffer.isView(value)) return listOf(value);
    const loss = silentLoss(value);
    if (loss !== undefined) throw fail(loss);
    if (above.includes(value)) throw fail("refers back to an object that it is part of; leave the circular reference out.");
    above.push(value);
    const plain = Array.isArray(value) ? items(value) : properties(value);
    above.pop();
    return plain;
  };

  return visit(root, "");
}

function hasToJson(value: unknown): value is { toJSON(key: string): unknown } {
  // Some programs teach BigInt a toJSON.
  if (typeof value === "bigint") return "toJSON" in BigInt.prototype;
  return typeof value === "object" && value !== null && "toJSON" in value && typeof value.toJSON === "function";
}

/** Says what to do about an object that would be written as `{}` though it holds something. */
function silentLoss(value: object): string | undefined {
  if (value instanceof Map) return "is a Map, which would be written as {}; give Object.fromEntries(map).";
  if (value instanceof Set) return "is a Set, which would be written as {}; give [...set].";
  if (value instanceof ArrayBuffer) return "is an ArrayBuffer, which would be written as {}; give a typed array.";
  if (value instanceof Promise) return "is a Promise, which would be written as {}; await it.";
  return undefined;
}
