import { readInferRequest, type ReadInferRequest } from "../../src/protocol/http/read-request.ts";
import { InferenceError } from "../../src/protocol/inference-error.ts";

export const target = { modelName: "M", modelVersion: "" };

/** A body of JSON and what comes behind it. */
export function bodyOf(json: unknown, ...tensors: Uint8Array[]): { body: Uint8Array; headerLength: number | undefined } {
  const text = Buffer.from(typeof json === "string" ? json : JSON.stringify(json));
  return { body: Buffer.concat([text, ...tensors]), headerLength: tensors.length === 0 ? undefined : text.length };
}

export function read(json: unknown, ...tensors: Uint8Array[]): ReadInferRequest {
  const { body, headerLength } = bodyOf(json, ...tensors);
  return readInferRequest(body, headerLength, target);
}

/** A request with one input. */
export function withInput(input: object, more: object = {}): object {
  return { inputs: [{ name: "I", datatype: "FP32", shape: [1], ...input }], ...more };
}

/** The InferenceError that something throws, as `status: text`; anything else that it throws comes through. */
export function failureOf(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof InferenceError) return `${thrown.status}: ${thrown.message}`;
    throw thrown;
  }
  return "no failure";
}
