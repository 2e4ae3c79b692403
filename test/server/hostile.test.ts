/** Whatever a request holds, it is answered or refused in the protocol's words, and the server goes on. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { InferInput, InferRequest } from "servable/server";
import { InferenceError } from "servable/server";
import { arrayTypes, dataTypes } from "../../src/tensor/data-type.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { serveRepository, type Served } from "./support.ts";
import { sized } from "../support/sizes.ts";

let served: Served;
beforeAll(async () => {
  const tensor = (name: string, type: string): string => `{ name: "${name}" data_type: ${type} dims: [ -1 ] }`;
  const config = (type: string): string => `backend: "onnxruntime" max_batch_size: 4 input ${tensor("x", type)} output ${tensor("y", type)}
    dynamic_batching { priority_levels: 2 default_priority_level: 1 default_queue_policy { default_timeout_microseconds: 2000000 allow_timeout_override: true } }
    instance_group { count: 1 kind: KIND_CPU }`;
  served = await serveRepository({
    "n/config.pbtxt": config("TYPE_FP32"),
    "n/1/model.onnx": identityModel("FP32", ["batch", "n"]),
    "s/config.pbtxt": config("TYPE_STRING"),
    "s/1/model.onnx": identityModel("BYTES", ["batch", "n"]),
  });
});
afterAll(() => served[Symbol.asyncDispose]());

const dimension = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.constantFrom(-1, -7, 1.5, 2 ** 31, 2 ** 53 - 1, 2 ** 63, Infinity, Number.NaN),
);
const input: fc.Arbitrary<InferInput> = fc
  .record({
    name: fc.constantFrom("x", "X", "", "__proto__", "y"),
    dataType: fc.constantFrom(...dataTypes, "FP32", "BYTES", "FP32", "BYTES", "FP33", "", "__proto__"),
    shape: fc.array(dimension, { maxLength: 4 }),
    bytes: fc.uint8Array({ maxLength: 40 }),
    asBytes: fc.boolean(),
    neither: fc.integer({ min: 0, max: 20 }),
  })
  .map(({ name, dataType, shape, bytes, asBytes, neither }) => {
    if (neither === 0) return { name, dataType, shape };
    if (asBytes) return { name, dataType, shape, bytes };
    if (dataType === "BYTES") return { name, dataType, shape, data: [...bytes].map((byte) => String.fromCharCode(byte)) };
    const type = Object.hasOwn(arrayTypes, dataType) ? arrayTypes[dataType as "FP32"] : Float32Array;
    return { name, dataType, shape, data: new type(bytes.length) };
  });
/** One that fits one of the two models. */
const fitting: fc.Arbitrary<InferInput> = fc
  .record({
    rows: fc.integer({ min: 0, max: 5 }),
    width: fc.integer({ min: 0, max: 4 }),
    texts: fc.boolean(),
    value: fc.string({ unit: "binary" }),
  })
  .map(({ rows, width, texts, value }) => {
    const size = rows * width;
    if (texts) return { name: "x", dataType: "BYTES", shape: [rows, width], data: new Array<string>(size).fill(value) };
    return { name: "x", dataType: "FP32", shape: [rows, width], data: new Float32Array(size).fill(value.length) };
  });
const parameter = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n }),
  fc.string(),
  fc.boolean(),
  fc.double(),
);
const request: fc.Arbitrary<Partial<InferRequest>> = fc.record({
  id: fc.string(),
  parameters: fc.dictionary(fc.constantFrom("priority", "timeout", "sequence_id", "other"), parameter),
  inputs: fc.oneof(fc.array(input, { maxLength: 2 }), fc.tuple(fitting)),
  outputs: fc.array(
    fc.record({ name: fc.constantFrom("y", "y", "z", "__proto__"), classification: fc.constantFrom(undefined, 0, 1, 1e9, -1) }),
    {
      maxLength: 2,
    },
  ),
});

test("requests of any kind", async () => {
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom("n", "s"), request, async (model, sent) => {
      try {
        await served.infer(model, sent);
        answered += 1;
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(InferenceError);
        expect((thrown as InferenceError).status).not.toBe("INTERNAL");
      }
    }),
    { numRuns: sized(400, 4_000) },
  );
  expect(answered).toBeGreaterThan(0);
  // Nothing is left behind, and what is right still works.
  expect(served.server.reports().map(({ pending }) => pending)).toEqual([0, 0]);
  const right = { inputs: [{ name: "x", dataType: "FP32", shape: [1, 1], data: Float32Array.of(3) }] };
  expect((await served.infer("n", right)).outputs[0]!.data).toEqual(Float32Array.of(3));
});
