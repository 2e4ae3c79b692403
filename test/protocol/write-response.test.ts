import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allBinaryOutputs, noBinaryOutputs } from "../../src/protocol/http/binary-outputs.ts";
import { writeInferResponse } from "../../src/protocol/http/write-response.ts";
import type { InferOutput, InferResponse } from "../../src/protocol/inference.ts";

const response = (output: Partial<InferOutput>, more: object = {}): InferResponse => ({
  modelName: "M",
  modelVersion: "1",
  id: "",
  parameters: {},
  outputs: [{ name: "O", dataType: "FP32", shape: [1], data: Float32Array.of(1), ...output }],
  ...more,
});
const dataText = (output: Partial<InferOutput>) => {
  const { json } = writeInferResponse(response(output), noBinaryOutputs);
  return /"data":\[(.*)\]\}\]\}$/s.exec(Buffer.from(json).toString("latin1"))?.[1];
};

test("the whole of an answer", () => {
  const written = writeInferResponse(
    response({ parameters: { p: 2n ** 60n } }, { id: "é", parameters: { x: 0.5, y: true } }),
    noBinaryOutputs,
  );
  expect(written).toEqual({
    json:
      '{"id":"é","model_name":"M","model_version":"1","parameters":{"x":0.5,"y":true},' +
      '"outputs":[{"name":"O","datatype":"FP32","shape":[1],"parameters":{"p":1152921504606846976},"data":[1.0]}]}',
    chunks: [],
    headerLength: undefined,
    contentType: "application/json",
  });
});

describe("numbers", () => {
  test("floats are the digits of the double that they are", () => {
    expect(dataText({ data: Float32Array.of(0.1, 1, -0, 1e30, 1e-7, 3.5, 16777216) })).toBe(
      "0.10000000149011612,1.0,-0.0,1.0000000150474662e30,1.0000000116860974e-7,3.5,16777216.0",
    );
  });
  test("NaN and Infinity are written as such", () => {
    expect(dataText({ data: Float32Array.of(NaN, Infinity, -Infinity) })).toBe("NaN,Infinity,-Infinity");
  });
  test("integers and booleans", () => {
    expect(dataText({ dataType: "INT64", data: BigInt64Array.of(-(2n ** 63n), 5n) })).toBe("-9223372036854775808,5");
    expect(dataText({ dataType: "BOOL", data: Uint8Array.of(1, 0) })).toBe("true,false");
    expect(dataText({ dataType: "UINT8", data: Uint8Array.of(255) })).toBe("255");
  });
  test("large tensors, written piece by piece, lose nothing between the pieces", () => {
    const values = Float64Array.from({ length: 50_000 }, (_, index) => (index % 20_000 === 0 ? index : index + 0.5));
    const text = dataText({ dataType: "FP64", data: values });
    expect(JSON.parse(`[${text}]`)).toEqual([...values]);
    expect(text).toContain(",20000.0,20001.5,");
  });
  test("every finite float is read back as what it was", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }), (values) => {
        const text = dataText({ dataType: "FP64", data: Float64Array.from(values) });
        expect(JSON.parse(`[${text}]`)).toEqual(values);
        for (const number of text?.split(",") ?? []) expect(number).toMatch(/[.e]/);
      }),
    );
  });
});

test("texts are escaped, and bytes that are not UTF-8 stand between the quotes as they are", () => {
  expect(dataText({ dataType: "BYTES", data: ['a"b\n', Uint8Array.of(0x22, 0xff, 0x0a, 0xfe)] })).toBe('"a\\"b\\n","\\"\xff\\n\xfe"');
});

describe("binary outputs", () => {
  test("are views on the tensors' own memory", () => {
    const data = Float32Array.of(1, 2);
    const written = writeInferResponse(response({ data, shape: [2] }), allBinaryOutputs);
    expect(written.contentType).toBe("application/octet-stream");
    expect(written.headerLength).toBe(written.json.length);
    expect(written.chunks.map(({ buffer, byteLength }) => [buffer, byteLength])).toEqual([[data.buffer, 8]]);
    expect(JSON.parse(Buffer.from(written.json).toString())).toMatchObject({ outputs: [{ parameters: { binary_data_size: 8 } }] });
  });
  test("BYTES have their lengths before them", () => {
    const { chunks } = writeInferResponse(response({ dataType: "BYTES", data: ["é", Uint8Array.of(255)] }), allBinaryOutputs);
    expect(Buffer.concat(chunks)).toEqual(Buffer.from([2, 0, 0, 0, 0xc3, 0xa9, 1, 0, 0, 0, 255]));
  });
  test("one that is empty, alone, has no header and no bytes", () => {
    const written = writeInferResponse(response({ shape: [0], data: new Float32Array(0) }), allBinaryOutputs);
    expect(written).toMatchObject({ chunks: [], headerLength: undefined, contentType: "application/json" });
    expect(written.json).toContain('"parameters":{"binary_data_size":0}}');
    expect(written.json).not.toContain('data":[');
  });
});
