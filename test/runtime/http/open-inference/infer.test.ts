import { once } from "node:events";
import { gunzipSync, gzipSync, deflateSync, inflateSync } from "node:zlib";
import { request as httpRequest } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRaw, parseAnswer, until } from "../../../support/serving.ts";
import { addRequest, binaryBody, bytesOf, front, type Fronted } from "./support.ts";

let served: Fronted;
beforeAll(async () => {
  served = await front();
});
afterAll(() => served[Symbol.asyncDispose]());

const add = "/v2/models/add/infer";
const echo = "/v2/models/echo/infer";
const floats = (bytes: Uint8Array): readonly number[] => [...new Float32Array(new Uint8Array(bytes).buffer)];
/** Of a binary answer: its JSON and what follows it. */
const split = (answer: Response, body: Uint8Array): readonly [unknown, Uint8Array] => {
  const length = Number(answer.headers.get("inference-header-content-length"));
  return [JSON.parse(Buffer.from(body.subarray(0, length)).toString()), body.subarray(length)];
};

/** As fetch would not: with what comes back as it is. */
async function bare(
  path: string,
  body: Uint8Array,
  headers: Record<string, string>,
): Promise<{ readonly headers: NodeJS.Dict<string | string[]>; readonly body: Buffer; readonly status: number }> {
  const sent = httpRequest(served.url + path, { method: "POST", headers: { ...headers, "content-length": body.byteLength } });
  sent.end(body);
  const [answer] = (await once(sent, "response")) as [import("node:http").IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part as Buffer);
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts) };
}

describe("JSON", () => {
  test("in and out, with id, names and version", async () => {
    const answer = await served.post(add, addRequest([1, 2], [10, 20], { id: "42" }));
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(answer.headers.get("inference-header-content-length")).toBeNull();
    expect(await answer.json()).toEqual({
      id: "42",
      model_name: "add",
      model_version: "1",
      outputs: [{ name: "OUTPUT", datatype: "FP32", shape: [2], data: [11, 22] }],
    });
  });

  test("whatever its content type says, nothing sound or none", async () => {
    for (const type of ["application/octet-stream", "no type at all", "text/plain; charset=", "application/json"]) {
      const answer = await served.post(add, addRequest([1], [2]), { "content-type": type });
      expect([type, answer.status]).toEqual([type, 200]);
    }
    expect((await bare(add, Buffer.from(addRequest([1], [2])), {})).status).toBe(200);
  });

  test("to a version by its number", async () => {
    expect((await served.post("/v2/models/add/versions/1/infer", addRequest([1], [2]))).status).toBe(200);
  });

  test("in chunks, however they are cut", async () => {
    const text = addRequest([1], [2]);
    using connection = await openRaw(served.port);
    connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n`);
    for (const letter of text) connection.write(`1\r\n${letter}\r\n`);
    connection.write("0\r\n\r\n");
    const answer = parseAnswer(await connection.closed);
    expect(await answer.json()).toMatchObject({ outputs: [{ data: [3] }] });
  });

  test("after a refused request the same connection goes on", async () => {
    using connection = await openRaw(served.port);
    const text = addRequest([1], [2]);
    const head = (path: string): string => `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${text.length}\r\n\r\n`;
    connection.write(head("/v2/models/nobody/infer") + text + head(add) + text);
    await until(() => connection.received().includes('"data":[3.0]'));
    expect(connection.received()).toContain("HTTP/1.1 404");
  });
});

describe("binary tensors", () => {
  const inputs = [
    { name: "INPUT0", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
    { name: "INPUT1", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
  ];

  test("in, JSON out", async () => {
    const { body, headers } = binaryBody({ inputs }, bytesOf(1, 2), bytesOf(3, 4));
    const answer = await served.post(add, body, headers);
    expect(await answer.json()).toMatchObject({ outputs: [{ data: [4, 6] }] });
  });

  test("in and out, with a length that tells where the JSON ends", async () => {
    const { body, headers } = binaryBody({ inputs, parameters: { binary_data_output: true } }, bytesOf(1, 2), bytesOf(3, 4));
    const answer = await bare(add, body, headers);
    expect(answer.headers["content-type"]).toBe("application/octet-stream");
    const length = Number(answer.headers["inference-header-content-length"]);
    expect(JSON.parse(answer.body.subarray(0, length).toString())).toMatchObject({ outputs: [{ parameters: { binary_data_size: 8 } }] });
    expect(floats(answer.body.subarray(length))).toEqual([4, 6]);
    expect(answer.headers["content-length"]).toBe(String(answer.body.byteLength));
  });

  test("of 16 MB, in many pieces", async () => {
    const values = new Float32Array(4 * 1024 * 1024).map((_, index) => index % 1_000);
    const json = {
      // An odd length, so that the tensor does not begin where a float may.
      id: "x",
      inputs: [{ name: "INPUT", datatype: "FP32", shape: [values.length], parameters: { binary_data_size: values.byteLength } }],
      outputs: [{ name: "OUTPUT", parameters: { binary_data: true } }],
    };
    const { body, headers } = binaryBody(json, new Uint8Array(values.buffer));
    const answer = await served.post(echo, body, headers);
    expect(answer.status).toBe(200);
    const [head, rest] = split(answer, new Uint8Array(await answer.arrayBuffer()));
    expect(head).toMatchObject({ id: "x" });
    expect(Buffer.compare(rest, new Uint8Array(values.buffer))).toBe(0);
  });

  test("raw: the whole body is the one input, and all outputs are binary", async () => {
    const answer = await served.post(echo, bytesOf(1, 2, 3), { "inference-header-content-length": "0" });
    const [head, rest] = split(answer, new Uint8Array(await answer.arrayBuffer()));
    expect(head).toMatchObject({ outputs: [{ datatype: "FP32", shape: [3], parameters: { binary_data_size: 12 } }] });
    expect(floats(rest)).toEqual([1, 2, 3]);
  });

  test("raw: a text has no length before it, and one behind it in the answer", async () => {
    const answer = await served.post("/v2/models/text/infer", "hello", { "inference-header-content-length": "0" });
    const [, rest] = split(answer, new Uint8Array(await answer.arrayBuffer()));
    expect(Buffer.from(rest).toString("latin1")).toBe("\u0005\0\0\0hello");
  });

  test("an empty body is a raw request of nothing", async () => {
    const answer = await served.post(echo);
    expect(await answer.json()).toMatchObject({ outputs: [{ shape: [0], parameters: { binary_data_size: 0 } }] });
    expect(answer.headers.get("inference-header-content-length")).toBeNull();
  });
});

describe("compression", () => {
  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
  ] as const)("a request in %s", async (encoding, packed) => {
    const answer = await served.post(add, packed(addRequest([1], [2])), { "content-encoding": encoding });
    expect(await answer.json()).toMatchObject({ outputs: [{ data: [3] }] });
  });

  test("a binary request in gzip, whose header length counts what is unpacked", async () => {
    const input = { name: "INPUT", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } };
    const { body, headers } = binaryBody({ inputs: [input] }, bytesOf(1, 2));
    const answer = await served.post(echo, gzipSync(body), { ...headers, "content-encoding": "gzip" });
    expect(await answer.json()).toMatchObject({ outputs: [{ data: [1, 2] }] });
  });

  test.each([
    ["gzip, deflate", "gzip"],
    ["deflate, gzip", "deflate"],
    ["gzip;q=0.5, deflate;q=0.9", "deflate"],
    ["identity;q=1, gzip;q=0.5", undefined],
    ["gzip;q=0", undefined],
    ["br, zstd", undefined],
    ["*", undefined],
    ["gzip;q=abc", undefined],
  ])("Accept-Encoding %s is answered in %s", async (accepted, used) => {
    const answer = await bare(add, Buffer.from(addRequest([1], [2])), { "accept-encoding": accepted });
    expect(answer.headers["content-encoding"]).toBe(used);
    const unpacked = used === "gzip" ? gunzipSync(answer.body) : used === "deflate" ? inflateSync(answer.body) : answer.body;
    expect(JSON.parse(unpacked.toString())).toMatchObject({ outputs: [{ data: [3] }] });
  });

  test("a bomb is refused, and costs no more than the limit", async () => {
    await using small = await front({ maxInputBytes: 100_000 });
    const answer = await small.post(add, gzipSync(Buffer.alloc(20_000_000)), { "content-encoding": "gzip" });
    expect([answer.status, await answer.json()]).toEqual([
      400,
      {
        error:
          "decompressed request exceeds the maximum allowed input size of 100000 bytes. Use --http-max-input-size to increase the limit.",
      },
    ]);
    expect(small.plane.models.get("add")).toMatchObject({ inside: 0 });
  });
});

describe("limits", () => {
  test("of the JSON: by its length, before admission; by what comes, in chunks", async () => {
    await using small = await front({ maxInputBytes: 1_000 });
    const model = small.plane.models.get("add");
    const text = addRequest(new Array<number>(1_000).fill(1), [1]);
    expect((await small.post(add, text)).status).toBe(400);
    expect(model?.callers.length).toBe(0);
    using connection = await openRaw(small.port);
    connection.write(
      `POST ${add} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n800\r\n${"x".repeat(0x800)}\r\n0\r\n\r\n`,
    );
    const answer = parseAnswer(await connection.closed);
    expect(await answer.json()).toEqual({
      error: "request size exceeds the maximum allowed input size of 1000 bytes. Use --http-max-input-size to increase the limit.",
    });
    expect(model).toMatchObject({ inside: 0 });
    expect(model?.failures.length).toBe(1);
  });

  test("binary tensors do not count as input, and have a limit of their own", async () => {
    await using small = await front({ maxInputBytes: 1_000, maxBinaryBytes: 4_000 });
    const send = async (count: number): Promise<number> => {
      const input = { name: "INPUT", datatype: "FP32", shape: [count], parameters: { binary_data_size: 4 * count } };
      const { body, headers } = binaryBody({ inputs: [input] }, new Uint8Array(4 * count));
      return (await small.post(echo, body, headers)).status;
    };
    expect(await send(1_000)).toBe(200);
    expect(await send(1_001)).toBe(400);
  });

  test("a model at its limit refuses before the body comes", async () => {
    await using small = await front();
    const model = small.plane.models.get("add");
    if (model !== undefined) model.capacity = 0;
    using connection = await openRaw(small.port);
    connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n`);
    await until(() => connection.received().includes("\r\n\r\n{"));
    expect(connection.received()).toMatch(/^HTTP\/1\.1 503 /);
    expect(connection.received()).toContain('{"error":"[request id: <id_unknown>] Exceeds maximum queue size"}');
  });

  test("a body that is too slow for its deadline is no longer waited for", async () => {
    using connection = await openRaw(served.port);
    connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\nx-timeout-ms: 20\r\ncontent-length: 100000\r\n\r\n{`);
    await until(() => connection.received().includes("Too late."));
    expect(connection.received()).toMatch(/^HTTP\/1\.1 503 /);
    expect(served.plane.models.get("add")).toMatchObject({ inside: 0 });
  });
});

test.each(["abc", "NaN", "-5", "0.5", "1,2", ""])("a header length of %j, with a body in pieces, is refused", async (length) => {
  using connection = await openRaw(served.port);
  connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\ninference-header-content-length: ${length}\r\ncontent-length: 4\r\n\r\n{`);
  await pause(20);
  connection.write(" }");
  await pause(20);
  connection.write("x");
  await until(() => connection.received().includes("}"));
  expect(connection.received()).toMatch(/^HTTP\/1\.1 400 /);
  expect(connection.received()).toContain('{"error":"');
});

test("names that are not UTF-8 come back in a text that JSON can hold", async () => {
  const body = Buffer.from('{"inputs":[{"name":"?","datatype":"FP32","shape":[1],"data":["?"]}]}');
  for (let at = body.indexOf("?"); at !== -1; at = body.indexOf("?")) body[at] = 0xff;
  const text = await (await served.post(add, body)).text();
  expect(text).toMatch(/^\{"error":"/);
  expect(text).not.toMatch(/\\ud/i);
});

test.each([
  ["no Host header", "GET /v2/health/live HTTP/1.1\r\n\r\n"],
  ["a whole URL for a path", "GET http://else/v2/health/live HTTP/1.1\r\nhost: else\r\n\r\n"],
  ["a whole URL with a query", "GET http://else/v2/health/live?x=/y HTTP/1.1\r\nhost: else\r\n\r\n"],
  ["HTTP/1.0", "GET /v2/health/live HTTP/1.0\r\n\r\n"],
])("a request with %s is served", async (_case, text) => {
  using connection = await openRaw(served.port);
  connection.write(text);
  await until(() => connection.received().includes("\r\n\r\n"));
  expect(connection.received()).toMatch(/^HTTP\/1\.1 200 /);
});

test("an expectation that nobody knows is passed over", async () => {
  const body = addRequest([1], [2]);
  using connection = await openRaw(served.port);
  connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\nexpect: nothing\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  await until(() => connection.received().includes("\r\n\r\n{"));
  expect(connection.received()).toMatch(/^HTTP\/1\.1 200 /);
});

describe("a client that goes away", () => {
  test("cancels what runs", async () => {
    const model = served.plane.models.get("wait");
    const abort = new AbortController();
    const answer = served.post("/v2/models/wait/infer", '{"inputs":[]}', {}, abort.signal).catch(() => "gone");
    await until(() => model?.inside === 1);
    await pause(20);
    abort.abort();
    expect(await answer).toBe("gone");
    await until(() => model?.inside === 0);
    expect(model?.cancelled).toBe(1);
  });

  test("in the middle of its body leaves nothing behind", async () => {
    const model = served.plane.models.get("add");
    const connection = await openRaw(served.port);
    connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{`);
    await until(() => model?.inside === 1);
    connection.socket.destroy();
    await until(() => model?.inside === 0);
  });
});

test("headers that a pattern matches become parameters", async () => {
  await using patterned = await front({ headerForwardPattern: /^x-tenant/ });
  const seen: unknown[] = [];
  const model = patterned.plane.models.get("add");
  const infer = model?.admit.bind(model);
  if (model !== undefined && infer !== undefined) {
    model.admit = (caller) => {
      const admission = infer(caller);
      const inner = admission.infer.bind(admission);
      admission.infer = (request) => {
        seen.push(request.parameters);
        return inner(request);
      };
      return admission;
    };
  }
  await patterned.post(add, addRequest([1], [2], { parameters: { priority: 1 } }), { "x-tenant": "a", "x-other": "b" });
  expect(seen).toEqual([{ priority: 1, "x-tenant": "a" }]);
});
