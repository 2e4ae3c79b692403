import { describe, expect, test } from "vitest";
import { elementsOf } from "../../src/protocol/elements.ts";
import { isBinary } from "../../src/protocol/http/binary-outputs.ts";
import { readHeaderLength } from "../../src/protocol/http/header-length.ts";
import { readRawRequest } from "../../src/protocol/http/raw-request.ts";
import { readInferRequest } from "../../src/protocol/http/read-request.ts";
import { bodyOf, failureOf, read, target, withInput } from "./bodies.ts";

const context = { modelName: "M", requestId: "" };
const id = "[request id: <id_unknown>] ";

describe("values in JSON", () => {
  const dataOf = (datatype: string, data: string, shape = [1]) =>
    read(`{"inputs":[{"name":"I","datatype":"${datatype}","shape":[${shape.join(",")}],"data":${data}}]}`).request.inputs[0]?.data;

  test("nested and flat data are the same", () => {
    expect(dataOf("FP32", "[[1,2],[3,4]]", [2, 2])).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(dataOf("FP32", "[1,2,3,4]", [2, 2])).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(dataOf("FP32", "[[[1]],2,[3,[4]]]", [2, 2])).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  test("integers are cut off, not refused", () => {
    expect(dataOf("INT8", "[300]")).toEqual(Int8Array.of(44));
    expect(dataOf("UINT8", "[300]")).toEqual(Uint8Array.of(44));
    expect(dataOf("INT32", "[4294967301]")).toEqual(Int32Array.of(5));
    expect(dataOf("UINT32", "[18446744073709551615]")).toEqual(Uint32Array.of(4294967295));
    expect(dataOf("INT16", "[-9223372036854775807]")).toEqual(Int16Array.of(1));
  });

  test("64-bit integers keep all their digits, beside other values and in parameters", () => {
    expect(dataOf("INT64", "[9223372036854775807,-9223372036854775808,9007199254740993,0]", [4])).toEqual(
      BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 0n),
    );
    expect(dataOf("UINT64", "[18446744073709551615]")).toEqual(BigUint64Array.of(2n ** 64n - 1n));
    const { request } = read('{"parameters":{"sequence_id":9007199254740993,"x":1.5},"inputs":[]}');
    expect(request.parameters).toEqual({ sequence_id: 9007199254740993n, x: 1.5 });
  });

  test("a large float is no integer that lost digits", () => {
    expect(dataOf("FP64", "[1e300,123456789012345678901234567890]", [2])).toEqual(Float64Array.of(1e300, 123456789012345678901234567890));
    expect(dataOf("FP32", "[1e39,-1e39]", [2])).toEqual(Float32Array.of(Infinity, -Infinity));
  });

  test("a byte order mark before the JSON is passed over, and is kept within a text", () => {
    expect(read('\ufeff{"id":"\ufeff","inputs":[]}').request).toMatchObject({ id: "\ufeff", inputs: [] });
  });

  test("NaN and Infinity are taken", () => {
    expect(dataOf("FP32", "[NaN,Infinity,-Infinity,-Inf]", [4])).toEqual(Float32Array.of(NaN, Infinity, -Infinity, -Infinity));
  });

  test("booleans and texts", () => {
    expect(dataOf("BOOL", "[true,false]", [2])).toEqual(Uint8Array.of(1, 0));
    expect(dataOf("BYTES", '["a","\\u00e9","", "\\ud83d\\ude00"]', [4])).toEqual(["a", "é", "", "😀"]);
  });

  test("texts whose bytes are not UTF-8 come through as bytes", () => {
    const json = Buffer.from('{"inputs":[{"name":"I","datatype":"BYTES","shape":[3],"data":["a?b","é","??"]}]}'.replaceAll("?", "\x01"));
    for (let at = json.indexOf(1); at !== -1; at = json.indexOf(1)) json[at] = 0xff;
    const { request } = readInferRequest(json, undefined, target);
    expect(request.inputs[0]?.data).toEqual([Uint8Array.of(0x61, 0xff, 0x62), "é", Uint8Array.of(0xff, 0xff)]);
  });

  test("an id that is no text becomes one, since the answer repeats it", () => {
    expect(read('{"id":"a\\ud800b","inputs":[]}').request.id).toBe("a\ufffdb");
    const json = Buffer.from('{"id":"a?b😀","inputs":[]}');
    json[json.indexOf("?")] = 0xa3;
    expect(readInferRequest(json, undefined, target).request.id).toBe("a\ufffdb😀");
  });

  test("where the shape has no room, data is not looked at", () => {
    const { request } = read(withInput({ shape: [0, 3], data: ["whatever"] }));
    expect(elementsOf(request.inputs[0] ?? fail(), context)).toEqual(new Float32Array(0));
  });

  test("unknown members are passed over, and one named __proto__ is only a member", () => {
    const { request } = read('{"surprise":[1],"parameters":{"__proto__":"x"},"inputs":[]}');
    expect(Object.getOwnPropertyDescriptor(request.parameters, "__proto__")?.value).toBe("x");
  });
});

describe("binary tensors", () => {
  test("are views on the body, in the order of the inputs", () => {
    const first = new Uint8Array(Float32Array.of(1, 2).buffer);
    const { body, headerLength } = bodyOf(
      {
        id: "7",
        inputs: [
          { name: "A", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
          { name: "B", datatype: "UINT8", shape: [1, 3], parameters: { binary_data_size: 3 } },
          { name: "C", datatype: "INT32", shape: [1], data: [5] },
        ],
      },
      first,
      Uint8Array.of(1, 2, 3),
    );
    const { request } = readInferRequest(body, headerLength, target);
    const [a, b, c] = request.inputs;
    expect(a?.bytes?.buffer).toBe(body.buffer);
    expect(elementsOf(a ?? fail(), context)).toEqual(Float32Array.of(1, 2));
    expect(elementsOf(b ?? fail(), context)).toEqual(Uint8Array.of(1, 2, 3));
    expect(c?.data).toEqual(Int32Array.of(5));
  });

  test("aligned bytes become a view, others a copy", () => {
    const memory = new Uint8Array(16);
    const input = { name: "I", dataType: "FP32", shape: [2] };
    const aligned = elementsOf({ ...input, bytes: memory.subarray(4, 12) }, context) as Float32Array;
    const crooked = elementsOf({ ...input, bytes: memory.subarray(3, 11) }, context) as Float32Array;
    expect(aligned.buffer).toBe(memory.buffer);
    expect(crooked.buffer).not.toBe(memory.buffer);
    expect(crooked.buffer.byteLength).toBe(8);
  });
});

describe("which outputs are binary", () => {
  const binaryOf = (more: object) => {
    const { binaryOutputs } = read({ inputs: [], ...more });
    return ["A", "B"].map((name) => isBinary(binaryOutputs, name));
  };
  test.each([
    [{}, [false, false]],
    [{ parameters: { binary_data_output: true } }, [true, true]],
    [{ outputs: [{ name: "A", parameters: { binary_data: true } }] }, [true, false]],
    // Contrary to the protocol's own page: what is named is not under binary_data_output.
    [{ parameters: { binary_data_output: true }, outputs: [{ name: "A" }] }, [false, true]],
    [{ parameters: { binary_data_output: true }, outputs: [{ name: "A", parameters: { binary_data: false } }] }, [false, true]],
    [{ parameters: { binary_data_output: true }, outputs: [] }, [true, true]],
  ])("%j", (more, expected) => expect(binaryOf(more)).toEqual(expected));
});

describe("raw bodies", () => {
  const spec = (dims: number[], dataType = "FP32", batching = true) => ({ inputs: [{ name: "I", dataType, dims }], batching });

  test("become the one input, in a batch of one, with all outputs binary", () => {
    const { request, binaryOutputs } = readRawRequest(new Uint8Array(24), spec([3, -1]), target);
    expect(request.inputs[0]).toMatchObject({ name: "I", shape: [1, 3, 2] });
    expect(elementsOf(request.inputs[0] ?? fail(), context)).toEqual(new Float32Array(6));
    expect(isBinary(binaryOutputs, "any")).toBe(true);
  });

  test("BYTES have no length", () => {
    const { request } = readRawRequest(Buffer.from("hello"), spec([1], "BYTES", false), target);
    expect(request.inputs[0]).toMatchObject({ shape: [1], data: ["hello"] });
  });

  test("that do not fit are told so when their elements are read", () => {
    const { request } = readRawRequest(new Uint8Array(9), spec([2]), target);
    expect(failureOf(() => elementsOf(request.inputs[0] ?? fail(), context))).toBe(
      `INVALID_ARG: ${id}input byte size mismatch for input 'I' for model 'M'. Expected 8, got 9`,
    );
  });

  test.each([
    [[-1, -1], "FP32", "The shape of the raw input 'I' can not be deduced because there are more than one variable-sized dimension"],
    [[2], "BYTES", "For BYTE datatype raw input 'I', the model must have input shape [1]"],
    [[-1], "BYTES", "For BYTE datatype raw input 'I', the model must have input shape [1]"],
  ])("refused: %j of %s", (dims, dataType, text) => {
    expect(failureOf(() => readRawRequest(new Uint8Array(8), spec(dims, dataType), target))).toBe(`INVALID_ARG: ${id}${text}`);
  });

  test("of a model with two inputs are refused", () => {
    const { inputs } = spec([1]);
    expect(failureOf(() => readRawRequest(new Uint8Array(8), { inputs: [...inputs, ...inputs], batching: false }, target))).toMatch(
      /^INVALID_ARG: .*Raw request must only have 1 input/,
    );
  });
});

test.each([
  [undefined, 10],
  ["0", 0],
  ["7", 7],
  ["+7", 7],
])("header length %s is %d", (text, expected) => expect(readHeaderLength(text, 10)).toBe(expected));

test.each([
  ["abc", "Unable to parse Inference-Header-Content-Length, got: abc"],
  ["1.5", "Unable to parse Inference-Header-Content-Length, got: 1.5"],
  ["11", "inference header size should be in range (0, 10), got: 11"],
  ["-1", "inference header size should be in range (0, 10), got: -1"],
  ["99999999999999999999", "inference header size should be in range (0, 10), got: 99999999999999999999"],
])("header length %s is refused", (text, message) => {
  expect(failureOf(() => readHeaderLength(text, 10))).toBe(`INVALID_ARG: ${message}`);
});

function fail(): never {
  throw new Error("There is no such input.");
}
