/** The client over gRPC, against servers that break, lie, or never end. */
import { getEventListeners } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { GrpcInferenceClient, type StreamedResult } from "../../src/client/grpc/grpc-inference-client.ts";
import type { GrpcClientOptions } from "../../src/client/grpc/options.ts";
import { ServableError } from "../../src/errors.ts";
import { inference } from "../../src/protocol/grpc/generated/messages.js";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { begin, finish, frame, startRawGrpcServer, type Misbehave } from "./raw-grpc-server.ts";

type Response = inference.ModelInferResponse.$Properties;

const inputs = { x: { shape: [1] as const, data: Float32Array.of(1) } };
const output = { name: "y", datatype: "FP32", shape: [1] };
const sound: Response = { modelName: "m", outputs: [output], rawOutputContents: [new Uint8Array(4)] };
const encoded = (message: Response = sound): Uint8Array => inference.ModelInferResponse.encode(message).finish();
const reply = (response: Response): Buffer => frame(inference.ModelStreamInferResponse.encode({ inferResponse: response }).finish());

async function failureOf(
  misbehave: Misbehave,
  call: (client: GrpcInferenceClient) => Promise<unknown>,
  options: GrpcClientOptions = {},
): Promise<ServableError> {
  await using server = await startRawGrpcServer(misbehave);
  const client = new GrpcInferenceClient(server.url, { timeoutMs: 700, retries: 0, ...options });
  try {
    const value = await call(client);
    throw new Error(`it gave ${JSON.stringify(value)}`);
  } catch (thrown) {
    if (!ServableError.isInstance(thrown)) throw thrown;
    return thrown;
  } finally {
    client.close();
  }
}

describe("a call", () => {
  test.each<readonly [string, Misbehave, string, RegExp]>([
    ["is reset", (stream) => stream.close(2), "internal", /RST_STREAM/],
    ["is refused by its stream", (stream) => stream.close(7), "unavailable", /refused/],
    [
      "is reset in a message",
      (stream) => (begin(stream, frame(encoded()).subarray(0, 7)), void setTimeout(20).then(() => stream.close(2))),
      "internal",
      /./,
    ],
    ["loses its connection", (stream) => stream.session?.destroy(), "unavailable", /./],
    ["gets silence", () => undefined, "deadline_exceeded", /./],
    ["gets half a message", (stream) => begin(stream, frame(encoded(), { length: 1e9 })), "deadline_exceeded", /./],
    ["gets two messages", (stream) => finish(stream, [frame(encoded()), frame(encoded())]), "deadline_exceeded", /./],
    ["gets no trailers", (stream) => (begin(stream, frame(encoded())), stream.end()), "internal", /without gRPC status/],
    [
      "gets a page of a proxy",
      (stream) => (stream.respond({ ":status": 502, "content-type": "text/html" }), stream.end("<h1>")),
      "unavailable",
      /502/,
    ],
    ["gets a message that is none", (stream) => finish(stream, [frame(Uint8Array.of(255, 255, 255, 1))]), "internal", /^The call to grpc/],
    [
      "gets a message of 4 GiB",
      (stream) => finish(stream, [frame(encoded(), { length: 2 ** 32 - 1 })]),
      "payload_too_large",
      /larger than max/,
    ],
    ["gets an unknown status", (stream) => finish(stream, [], { "grpc-status": "99", "grpc-message": "words" }), "internal", /^words$/],
    [
      "gets a status that is none",
      (stream) => finish(stream, [], { "grpc-status": "abc", "grpc-message": "words" }),
      "internal",
      /^words$/,
    ],
    [
      "gets a status without words",
      (stream) => finish(stream, [], { "grpc-status": "5" }),
      "not_found",
      /^grpc:.* ended the call with the gRPC status 5, and did not say why\.$/,
    ],
    [
      "gets an unknown compression",
      (stream) => finish(stream, [frame(encoded(), { compressed: 1 })], undefined, { "grpc-encoding": "x" }),
      "internal",
      /compressed in a way/,
    ],
    [
      "gets gzip that is none",
      (stream) => finish(stream, [frame(encoded(), { compressed: 1 })], undefined, { "grpc-encoding": "gzip" }),
      "internal",
      /decompress/,
    ],
  ])("that %s", async (_, misbehave, code, message) => {
    const error = await failureOf(misbehave, (client) => client.infer("m", inputs));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test("that gets a message which unpacks to more than it may have", async () => {
    const bomb = frame(gzipSync(Buffer.alloc(20_000_000)), { compressed: 1 });
    const error = await failureOf(
      (stream) => finish(stream, [bomb], undefined, { "grpc-encoding": "gzip" }),
      (client) => client.infer("m", inputs),
      { maxMessageBytes: 1_000_000 },
    );
    expect(error.code).toBe("payload_too_large");
  });

  test("that only reads is made again where the connection broke", async () => {
    const name = inference.ServerMetadataResponse.encode({ name: "here" }).finish();
    const misbehave: Misbehave = (stream, call) => (call === 0 ? stream.session?.destroy() : finish(stream, [frame(name)]));
    await using server = await startRawGrpcServer(misbehave);
    const client = new GrpcInferenceClient(server.url);
    expect((await client.serverMetadata()).name).toBe("here");
    client.close();
  });
});

test("a server that is away is looked for often, and found again soon after it is back", async () => {
  let attempts = 0;
  const away = createServer((socket) => {
    attempts += 1;
    socket.on("error", () => undefined).resetAndDestroy();
  });
  await new Promise<void>((resolve) => away.listen(0, "127.0.0.1", resolve));
  const { port } = away.address() as AddressInfo;
  const client = new GrpcInferenceClient(`grpc://127.0.0.1:${port}`, { retries: 0 });
  const call = (): Promise<string> =>
    client.infer("m", inputs).then(
      () => "found",
      () => "away",
    );
  // grpc-js by itself would have tried three times by then, and its pauses grow to two minutes.
  for (const until = Date.now() + 2_500; Date.now() < until;) {
    expect(await call()).toBe("away");
    await setTimeout(50);
  }
  expect(attempts).toBeGreaterThan(4);
  await new Promise((resolve) => away.close(resolve));
  await using _back = await startRawGrpcServer((stream) => finish(stream, [frame(encoded())]), port);
  await expect.poll(call, { timeout: 4_000 }).toBe("found");
  client.close();
});

describe("an answer", () => {
  const of = (change: object, raw: Uint8Array[] = [new Uint8Array(4)]): Response => ({
    outputs: [{ ...output, ...change }],
    rawOutputContents: raw,
  });
  test.each<readonly [string, Response]>([
    ...[[2], [0], [-1], [-1, -1], [2 ** 40, 2 ** 40]].map((shape) => [`of shape [${shape.join()}]`, of({ shape })] as const),
    [
      "of a shape that can't be counted",
      of({ shape: [0, 2 ** 60].map((n) => ({ low: n | 0, high: n / 2 ** 32, unsigned: false })) }, [new Uint8Array()]),
    ],
    ...["FP31", "", "FP64", "__proto__"].map((datatype) => [`of data type '${datatype}'`, of({ datatype })] as const),
    ["with a text that is longer than all", of({ datatype: "BYTES" }, [Uint8Array.of(255, 255, 255, 255)])],
    ["without data", of({}, [])],
    ["with more data than outputs", of({}, [new Uint8Array(4), new Uint8Array(4)])],
    ["with fields of another type", of({ contents: { intContents: [5] } }, [])],
    ["with a field that has no room in its data type", of({ datatype: "UINT8", contents: { uintContents: [300] } }, [])],
    ["with more fields than its shape", of({ contents: { fp32Contents: [5, 6] } }, [])],
    ["with one output twice", { outputs: [output, output], rawOutputContents: [new Uint8Array(4), new Uint8Array(4)] }],
  ])("%s", async (_, message) => {
    const error = await failureOf(
      (stream) => finish(stream, [frame(encoded(message))]),
      (client) => client.infer("m", inputs),
    );
    expect(error).toMatchObject({ code: "internal", message: expect.stringMatching(/^The answer from grpc.* can't be read: ./) as string });
  });

  test("without an output that was asked for, or with values where classes were", async () => {
    const misbehave: Misbehave = (stream) => finish(stream, [frame(encoded())]);
    const missing = await failureOf(misbehave, (client) => client.infer("m", inputs, { outputs: ["z"] }));
    expect(missing).toMatchObject({ code: "internal", message: expect.stringContaining("'z' was asked for") as string });
    const values = await failureOf(misbehave, (client) => client.classify("m", inputs, { y: 1 }));
    expect(values).toMatchObject({ code: "internal", message: expect.stringContaining("it is FP32 [1]") as string });
  });
});

describe("a stream", () => {
  const one = reply({ ...sound, id: "0" });
  test.each<readonly [string, Misbehave, string, RegExp]>([
    ["is reset", (stream) => (begin(stream, one), void setTimeout(30).then(() => stream.close(2))), "internal", /./],
    [
      "loses its connection",
      (stream) => (begin(stream, one), void setTimeout(30).then(() => stream.session?.destroy())),
      "unavailable",
      /./,
    ],
    ["falls silent", (stream) => begin(stream, one), "deadline_exceeded", /within 700 ms/],
    ["has a message that is none", (stream) => finish(stream, [one, frame(Uint8Array.of(255, 1))]), "internal", /^The call to grpc/],
    [
      "has a tensor that is none",
      (stream) => finish(stream, [one, reply({ ...sound, rawOutputContents: [] })]),
      "internal",
      /^The answer from grpc/,
    ],
    ["fails without words", (stream) => finish(stream, [one], { "grpc-status": "13" }), "internal", /did not say why/],
  ])("that %s", async (_, misbehave, code, message) => {
    let results = 0;
    const error = await failureOf(misbehave, async (client) => {
      for await (const _result of client.inferStream("m", inputs)) results += 1;
    });
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(results).toBe(1);
  });

  test("has what can't be read in its place, and goes on", async () => {
    const replies = [one, reply({ ...sound, id: "1", rawOutputContents: [] }), reply({ ...sound, id: "2" })];
    await using server = await startRawGrpcServer((stream) => finish(stream, replies));
    const client = new GrpcInferenceClient(server.url);
    const results: StreamedResult<Record<string, Tensor>>[] = [];
    for await (const result of client.inferEach("m", [{ inputs }, { inputs }, { inputs }])) results.push(result);
    expect(results.map(({ id, error }) => [id, error?.code])).toEqual([
      ["0", undefined],
      ["1", "internal"],
      ["2", undefined],
    ]);
    client.close();
  });

  test("that ends while requests still come is no end of theirs, and lets their source go", async () => {
    let isReturned = false;
    const source = {
      sent: 0,
      [Symbol.asyncIterator]() {
        return this;
      },
      next(): Promise<IteratorResult<{ inputs: typeof inputs }>> {
        return this.sent++ === 0 ? Promise.resolve({ done: false, value: { inputs } }) : new Promise(() => undefined);
      },
      return(): Promise<IteratorResult<{ inputs: typeof inputs }>> {
        isReturned = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
    const error = await failureOf(
      (stream) => finish(stream, [one]),
      async (client) => {
        for await (const { id } of client.inferEach("m", source)) expect(id).toBe("0");
      },
    );
    expect(error).toMatchObject({ code: "unavailable", message: expect.stringContaining("before all requests were sent") as string });
    expect(isReturned).toBe(true);
  });

  test("that is left, or cancelled, ends on the server, too", async () => {
    let closed = 0;
    await using server = await startRawGrpcServer((stream) => {
      begin(stream);
      const timer = setInterval(() => stream.write(one), 5);
      stream.on("close", () => {
        clearInterval(timer);
        closed += 1;
      });
    });
    const client = new GrpcInferenceClient(server.url);
    for await (const _result of client.inferStream("m", inputs)) break;
    await expect.poll(() => closed).toBe(1);
    const controller = new AbortController();
    const { signal } = controller;
    const cancelled = (async () => {
      for await (const _result of client.inferStream("m", inputs, { signal })) controller.abort();
    })();
    await expect(cancelled).rejects.toMatchObject({ code: "cancelled" });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await expect.poll(() => closed).toBe(2);
    client.close();
  });
});
