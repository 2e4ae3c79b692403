import type { InferRequest } from "../protocol/inference.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";

/** One request on its way through a model: what it is made of, and when it was where. */
export class ModelRequest {
  readonly source: InferRequest;
  /** As the model takes them; those that the server makes come when its turn does. */
  inputs: NamedArrays;
  /** Rows in the batch's axis; 1 where the model has none. */
  readonly rows: number;
  /** Requests of one key can share a batch. */
  key: string;
  /** When it came (`performance.now()`). */
  readonly since: number = performance.now();
  /** Its level in the queue. */
  level = 0;
  /** Whether it waits for its turn. */
  queued = false;
  /** When its batch began to be made; 0 where none was. */
  batchedAt = 0;
  /** What its outputs are kept by, and how long it took to look for them. */
  cacheKey = "";
  hit = false;
  lookupMs = 0;
  /** How long its batch was put together, run, and taken apart, in milliseconds. */
  inputMs = 0;
  inferMs = 0;
  outputMs = 0;

  constructor(source: InferRequest, inputs: NamedArrays, rows: number, key: string) {
    this.source = source;
    this.inputs = inputs;
    this.rows = rows;
    this.key = key;
  }
}
