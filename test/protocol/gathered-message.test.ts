import { describe, expect, test } from "vitest";
import { gathering } from "../../src/protocol/grpc/gathered-message.ts";
import { inference } from "../../src/protocol/grpc/generated/messages.js";

const { ModelInferRequest, ModelInferResponse } = inference;
const request = gathering(ModelInferRequest, { key: "rawInputContents", number: 7 });
const response = gathering(ModelInferResponse, { key: "rawOutputContents", number: 6 });

/** What grpc-js makes of a message: a copy behind the head of a frame. */
function framed(bytes: Uint8Array): Buffer {
  const message = bytes as Buffer;
  const frame = Buffer.alloc(message.byteLength + 5);
  expect(message.length).toBe(message.byteLength);
  message.copy(frame, 5);
  return frame.subarray(5);
}

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

describe("a message with large tensors", () => {
  test.each([[[70_000]], [[0, 3_000_000, 1]], [[65_536, 65_535]]])("of %j bytes is copied as it would be written", (sizes) => {
    const rawInputContents = sizes.map((size, index) => filled(size, index + 1));
    const message = { modelName: "m", id: "7", inputs: [{ name: "x", datatype: "UINT8", shape: sizes }], rawInputContents };
    const copied = framed(request.encode(message).finish());
    const plain = ModelInferRequest.encode(message).finish();
    // No tensor has more than eight bytes before it that mean nothing, and there are two behind them all.
    expect(copied.byteLength - plain.byteLength).toBeLessThanOrEqual(sizes.length * 9 + 2);
    // Written again, fields are in order. Not `toEqual`, which takes a second for each hundred thousand bytes.
    const again = ModelInferRequest.encode(ModelInferRequest.decode(copied)).finish();
    expect(Buffer.compare(again, plain)).toBe(0);
    // The message itself is as it was, so that it can be sent again.
    expect(message.rawInputContents).toBe(rawInputContents);
  });

  test.each(["", "7"])("begins where elements of any size can be read in place, and the id %j is what it was", (id) => {
    for (let length = 0; length < 8; length += 1) {
      const rawInputContents = [70_000, 65_536 + length, 100_000].map((size, index) => filled(size, index + 1));
      const message = request.encode({ modelName: "m".repeat(length), id, rawInputContents }).finish() as Buffer;
      const frame = Buffer.allocUnsafeSlow(message.byteLength + 5);
      message.copy(frame, 5);
      const read = ModelInferRequest.decode(frame.subarray(5));
      expect(read).toMatchObject({ id, modelName: "m".repeat(length) });
      expect(read.rawInputContents.map(({ byteOffset }) => byteOffset % 8)).toEqual([0, 0, 0]);
      for (const [index, bytes] of read.rawInputContents.entries()) expect(Buffer.compare(bytes, rawInputContents[index]!)).toBe(0);
    }
  });

  test("a response, too", () => {
    const message = { modelName: "m", outputs: [{ name: "y" }], rawOutputContents: [filled(100_000, 9)] };
    const again = ModelInferResponse.encode(ModelInferResponse.decode(framed(response.encode(message).finish()))).finish();
    expect(Buffer.compare(again, ModelInferResponse.encode(message).finish())).toBe(0);
  });
});

test.each([{}, { rawInputContents: [] }, { modelName: "m", rawInputContents: [filled(65_535, 1)] }])(
  "a small message is what it was",
  (message) => {
    expect(Buffer.from(request.encode(message).finish())).toEqual(Buffer.from(ModelInferRequest.encode(message).finish()));
  },
);
