/** The client of the Open Inference Protocol over HTTP, against servers whose answers are not what they say. */
import { describe, expect, test } from "vitest";
import { OpenInferenceClient, ServableError } from "../../src/client.ts";
import { SpecsTritonModel } from "../../src/client/triton/specs-triton-model.ts";
import { TritonModel } from "../../src/client/triton/triton-model.ts";
import { head, startRawServer, whole } from "./raw-server.ts";

const inputs = { x: { shape: [1], data: Float32Array.of(1) } };
const output = { name: "y", datatype: "FP32", shape: [1], parameters: { binary_data_size: 4 } };
const four = new Uint8Array(4);

/** An answer in binary, as far as it is one. */
function binary(outputs: unknown, data: Uint8Array, headerLength?: string): Buffer {
  const json = Buffer.from(JSON.stringify({ model_name: "m", outputs }));
  const header = `inference-header-content-length: ${headerLength ?? json.byteLength}`;
  return whole("200 OK", "application/octet-stream", Buffer.concat([json, data]), ...(headerLength === "" ? [] : [header]));
}

function asJson(outputs: unknown): Buffer {
  return whole("200 OK", "application/json", JSON.stringify({ model_name: "m", outputs }));
}

async function failureOf<T>(answer: Buffer, call: (client: OpenInferenceClient) => Promise<T>): Promise<ServableError> {
  await using server = await startRawServer((socket) => socket.write(answer));
  const thrown: unknown = await call(new OpenInferenceClient(server.url, { timeoutMs: 2_000, retries: 0 })).then(
    (value) => new Error(`it gave ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!ServableError.isInstance(thrown)) throw thrown;
  return thrown;
}

describe("an answer to an inference", () => {
  const of = (change: object): Buffer => binary([{ ...output, ...change }], four);
  const large = { ...output, shape: [25_000], parameters: { binary_data_size: 100_000 } };
  test.each<readonly [string, Buffer]>([
    ...["", "999999", "-1", "NaN", "1.5", "0", "5", "Infinity", "99999999999999999999"].map(
      (length) => [`whose JSON has a length of '${length}'`, binary([output], four, length)] as const,
    ),
    ["whose JSON is longer than its large body", binary([large], new Uint8Array(100_000), "999999")],
    ...[0, 3, 5, -4, 1.5, "4", null, 1e30].map(
      (size) => [`with a tensor of ${size} bytes`, of({ parameters: { binary_data_size: size } })] as const,
    ),
    ...[[2], [0], [-1], [-1, -1], [1.5], ["1"], [2 ** 32, 2 ** 32], [1e300], null, [[1]]].map(
      (shape) => [`of shape ${JSON.stringify(shape)}`, of({ shape })] as const,
    ),
    ["of a shape that can't be counted", binary([{ ...output, shape: [0, 1e19], parameters: { binary_data_size: 0 } }], new Uint8Array())],
    ...["FP31", "", null, "__proto__", "FP16"].map((datatype) => [`of data type ${datatype}`, of({ datatype })] as const),
    ["with a text that is longer than all", binary([{ ...output, datatype: "BYTES" }], Uint8Array.of(255, 255, 255, 255))],
    ["with fewer texts than its shape", binary([{ ...output, datatype: "BYTES", shape: [2] }], four)],
    ["with less JSON than its shape", asJson([{ ...output, parameters: {}, shape: [1e12], data: [1] }])],
    ["with more JSON than its shape", asJson([{ ...output, parameters: {}, data: [1, 2] }])],
    ["with JSON that is no number", asJson([{ ...output, parameters: {}, data: [null] }])],
    ["with JSON that has no room in its data type", asJson([{ ...output, datatype: "INT8", parameters: {}, data: [300] }])],
    ["with nested JSON that has none", asJson([{ ...output, datatype: "UINT16", shape: [2], parameters: {}, data: [[1], [65_536]] }])],
    ["without data", asJson([{ ...output, parameters: {} }])],
    ["with one output twice", binary([output, output], new Uint8Array(8))],
    ...["null", "[]", "5", "{}", '{"model_name":"m"}', '{"model_name":"m","outputs":[null]}', "[".repeat(100_000), "<h1>", ""].map(
      (text) => [`that is ${text.slice(0, 30)}`, whole("200 OK", "application/json", text)] as const,
    ),
    ["that is not there", Buffer.from(head("204 No Content"))],
  ])("%s", async (_, answer) => {
    const error = await failureOf(answer, (client) => client.infer("m", inputs));
    expect(error).toMatchObject({ code: "internal", message: expect.stringMatching(/^The answer from http.* can't be read: ./) as string });
  });

  test("without an output that was asked for", async () => {
    const error = await failureOf(asJson([{ ...output, parameters: {}, data: [1] }]), (client) =>
      client.infer("m", inputs, { outputs: ["y", "z"] }),
    );
    expect(error).toMatchObject({ code: "internal", message: expect.stringContaining("The output 'z' was asked for") as string });
  });

  test("with values where classes were asked for", async () => {
    const error = await failureOf(asJson([{ ...output, parameters: {}, data: [1] }]), (client) => client.classify("m", inputs, { y: 1 }));
    expect(error).toMatchObject({ code: "internal", message: expect.stringContaining("it is FP32 [1].") as string });
  });

  test("with outputs that nobody asked for, and one of a name of its own", async () => {
    await using server = await startRawServer((socket) =>
      socket.write(binary([{ ...output, name: "__proto__" }, output], new Uint8Array(8))),
    );
    const { outputs } = await new OpenInferenceClient(server.url).infer("m", inputs, { outputs: ["y"] });
    expect(Object.keys(outputs)).toEqual(["__proto__", "y"]);
  });

  test.each([
    ['{"error":""}', "The server answered 500 X without a problem document"],
    ['{"error":{"a":1}}', "The server answered 500 X without a problem document"],
    ['{"error":"in words"}', "in words"],
  ])("that failed with %s", async (body, message) => {
    const error = await failureOf(whole("500 X", "application/json", body), (client) => client.infer("m", inputs));
    expect(error.code).toBe("internal");
    expect(error.message).toContain(message);
  });
});

describe("a stream of results", () => {
  async function read(answer: Buffer): Promise<{ items: unknown[]; error?: unknown }> {
    await using server = await startRawServer((socket) => void socket.end(answer));
    const items: unknown[] = [];
    try {
      for await (const item of new OpenInferenceClient(server.url).generateStream("m", { x: 1 })) items.push(item);
      return { items };
    } catch (error) {
      return { items, error };
    }
  }
  const events = (text: string): Buffer => Buffer.from(head("200 OK", "content-type: text/event-stream") + text);

  test.each<readonly [string, Buffer, number, string, RegExp]>([
    ["ends in the middle of an item", events('data: {"a":1}\n\ndata: {"a":2}\n'), 1, "unavailable", /in the middle of an item/],
    ["ends in the middle of a line", events('data: {"a":1}\n\ndata: {"a'), 1, "unavailable", /in the middle of an item/],
    ["is a page of a proxy", whole("200 OK", "text/html", "<h1>"), 0, "internal", /answered with text\/html/],
    ["has an item that is none", events("data: null\n\n"), 0, "internal", /did not answer with an object/],
    ["fails with an object", events('data: {"error":{"message":"oh"}}\n\n'), 0, "service_failed", /^\{"message":"oh"\}$/],
    ["fails with one JSON", whole("200 OK", "application/json", '{"error":"oh"}'), 0, "service_failed", /^oh$/],
  ])("that %s", async (_, answer, count, code, message) => {
    const { items, error } = await read(answer);
    expect(items).toHaveLength(count);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test("of a server that answers with one JSON has one item", async () => {
    expect(await read(whole("200 OK", "application/json", '{"a":1}'))).toEqual({ items: [{ a: 1 }] });
  });
});

describe("what a server tells of itself", () => {
  const tensor = { name: "x", datatype: "FP32", shape: [1] };
  test.each([
    null,
    [],
    { name: "m" },
    { name: "m", inputs: null, outputs: [] },
    { name: "m", inputs: [null], outputs: [] },
    { name: "m", inputs: [{ ...tensor, shape: undefined }], outputs: [] },
    { name: "m", inputs: [], outputs: [{ ...tensor, shape: ["1"] }] },
  ])("is no metadata: %j", async (metadata) => {
    const answer = whole("200 OK", "application/json", JSON.stringify(metadata));
    const told = { code: "internal", message: expect.stringContaining("is not what the protocol says") as string };
    expect(await failureOf(answer, (client) => client.modelMetadata("m"))).toMatchObject(told);
    expect(await failureOf(answer, (client) => TritonModel.connect(client, "m"))).toMatchObject(told);
  });

  test.each([{ input: 5 }, { input: [null] }, { input: [{ name: "x", data_type: "TYPE_X" }] }, { max_batch_size: "x" }])(
    "is no configuration: %j",
    async (config) => {
      const answer = whole("200 OK", "application/json", JSON.stringify(config));
      await failureOf(answer, (client) => SpecsTritonModel.connect(client, "m"));
    },
  );

  test.each([
    ['{"title":"busy","code":"overloaded"}', "503 X"],
    ['{"detail":"Not Found"}', "404 X"],
    ["<h1>", "503 X"],
  ])("is that it is not ready: %s", async (body, status) => {
    await using server = await startRawServer((socket) => socket.write(whole(status, "application/problem+json", body)));
    expect(await new OpenInferenceClient(server.url).modelReady("m")).toBe(false);
  });
});
