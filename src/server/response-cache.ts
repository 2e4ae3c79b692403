import { createHash, type Hash } from "node:crypto";
import type { InferParameters } from "../protocol/inference.ts";
import { mapArrays, type NamedArrays } from "../tensor/named-arrays.ts";
import { Tensor } from "../tensor/tensor.ts";

interface Cached {
  readonly outputs: NamedArrays;
  readonly bytes: number;
}

/** Outputs of models by their inputs, the ones used last; all models of a server share its room. */
export class ResponseCache {
  readonly #maxBytes: number;
  readonly #cached = new Map<string, Cached>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * What the outputs for some inputs are found by.
   *
   * @param model - tells apart loads of one version, too
   * @param parameters - those that the model is told of
   */
  keyOf(model: string, inputs: NamedArrays, parameters: InferParameters = {}): string {
    const hash = createHash("sha256");
    for (const [name, value] of Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1))) {
      // With its type: 1, 1n, true and "1" are not the same to a model.
      hash.update(`${JSON.stringify([name, typeof value, String(value)])}\n`);
    }
    for (const [name, { dataType, shape, data }] of Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(`${JSON.stringify([name, dataType, shape])}\n`);
      if (ArrayBuffer.isView(data)) hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      else for (const element of data) updateElement(hash, element);
    }
    return `${model}:${hash.digest("base64")}`;
  }

  /** Copies of what is kept: whoever gets them may do with them as they like. */
  get(key: string): NamedArrays | undefined {
    const found = this.#cached.get(key);
    if (found === undefined) return undefined;
    this.#cached.delete(key);
    this.#cached.set(key, found);
    return copyOf(found.outputs);
  }

  /** Drops all that a model gave. */
  forget(model: string): void {
    for (const key of this.#cached.keys()) if (key.startsWith(`${model}:`)) this.#drop(key);
  }

  /** Keeps outputs, in place of those that were not used for the longest time; not where they alone are too large. */
  set(key: string, outputs: NamedArrays): void {
    // A part of a batch would keep all of it.
    const own = copyOf(outputs);
    const bytes = sizeOf(own);
    if (bytes > this.#maxBytes) return;
    this.#drop(key);
    for (const oldest of this.#cached.keys()) {
      if (this.#bytes + bytes <= this.#maxBytes) break;
      this.#drop(oldest);
    }
    this.#cached.set(key, { outputs: own, bytes });
    this.#bytes += bytes;
  }

  #drop(key: string): void {
    const found = this.#cached.get(key);
    if (found === undefined) return;
    this.#cached.delete(key);
    this.#bytes -= found.bytes;
  }
}

function copyOf(arrays: NamedArrays): NamedArrays {
  return mapArrays(arrays, ({ dataType, shape, data }) => new Tensor(dataType, shape, data.slice()));
}

/** With its length, so that two lists of elements never look the same. */
function updateElement(hash: Hash, element: string | Uint8Array): void {
  hash.update(`${typeof element === "string" ? Buffer.byteLength(element) : element.byteLength}:`);
  hash.update(element);
}

/** What an entry costs besides its elements. */
const overheadBytes = 512;

function sizeOf(outputs: NamedArrays): number {
  let sum = overheadBytes;
  for (const { data } of Object.values(outputs)) {
    if (ArrayBuffer.isView(data)) sum += data.byteLength;
    else for (const element of data) sum += 16 + (typeof element === "string" ? 2 * element.length : element.byteLength);
  }
  return sum;
}
