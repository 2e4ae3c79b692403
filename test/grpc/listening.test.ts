/** What guards the way in: tokens, TLS, limits, compression of answers, and messages made up to do harm. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelGrpcServer, type ModelGrpcServerOptions } from "../../src/runtime/grpc/model-grpc-server.ts";
import { makeCertificate } from "../support/certificate.ts";
import { sized } from "../support/sizes.ts";
import { keepLog, until } from "../support/serving.ts";
import { addPlane, type AddPlane } from "./add-plane.ts";
import { Caller, floats, grpc, messages } from "./calling.ts";

const { inference: types } = messages;
const service = "/inference.GRPCInferenceService";
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "servable-grpc-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function serving(
  options: Partial<ModelGrpcServerOptions>,
  use: (server: ModelGrpcServer, plane: AddPlane) => Promise<void>,
): Promise<void> {
  const plane = addPlane();
  const server = new ModelGrpcServer({ plane, log: keepLog(), port: 0, ...options });
  await server.start();
  try {
    await use(server, plane);
  } finally {
    await server.stop(100);
  }
}

const echo = (size: number): messages.inference.ModelInferRequest.$Properties => ({
  modelName: "echo",
  inputs: [{ name: "X", datatype: "UINT8", shape: [size] }],
  rawInputContents: [Buffer.alloc(size, 7)],
});

test("asks for a token, but not for its health", async () => {
  const tokenFile = path.join(folder, "tokens");
  writeFileSync(tokenFile, "# ours\nsecret\n");
  await serving({ auth: { tokenFile } }, async (server, plane) => {
    using caller = new Caller(server.url);
    for (const metadata of [{}, { authorization: "Bearer wrong" }, { authorization: "secret" }]) {
      expect(await caller.infer(echo(1), { metadata })).toMatchObject({
        code: grpc.status.UNAUTHENTICATED,
      });
    }
    expect(plane.seen).toEqual([]);
    expect((await caller.infer(echo(1), { metadata: { authorization: "Bearer secret" } })).code).toBe(0);
    const { HealthCheckRequest, HealthCheckResponse } = messages.grpc.health.v1;
    expect((await caller.unary("/grpc.health.v1.Health/Check", HealthCheckRequest, HealthCheckResponse, {})).message?.status).toBe(1);
    const stream = caller.stream(`${service}/ModelStreamInfer`);
    expect(await new Promise((resolve) => stream.on("status", ({ code }) => resolve(code)))).toBe(grpc.status.UNAUTHENTICATED);
  });
});

test("restricted methods ask for their key, and so does the health that belongs to them", async () => {
  const restricted = [
    { apis: ["inference", "health"], header: "Infer-Key", value: "secret" },
    { apis: ["statistics"], header: "stats", value: "other" },
  ] as const;
  await serving({ restricted }, async (server, plane) => {
    using caller = new Caller(server.url);
    const key = "triton-grpc-protocol-infer-key";
    const refused = {
      code: grpc.status.UNAVAILABLE,
      details: "This protocol is restricted, expecting header 'triton-grpc-protocol-Infer-Key'",
    };
    for (const metadata of [{}, { [key]: "wrong" }, { "infer-key": "secret" }, { "triton-grpc-protocol-stats": "other" }]) {
      expect(await caller.infer(echo(1), { metadata })).toMatchObject(refused);
    }
    expect(plane.seen).toEqual([]);
    const { HealthCheckRequest, HealthCheckResponse } = messages.grpc.health.v1;
    const health = (metadata: Record<string, string>) =>
      caller.unary("/grpc.health.v1.Health/Check", HealthCheckRequest, HealthCheckResponse, {}, { metadata });
    expect(await health({})).toMatchObject(refused);
    expect((await health({ [key]: "secret" })).message?.status).toBe(1);
    const stream = caller.stream(`${service}/ModelStreamInfer`);
    expect(await new Promise((resolve) => stream.on("status", ({ code }) => resolve(code)))).toBe(grpc.status.UNAVAILABLE);
    expect((await caller.infer(echo(1), { metadata: { [key]: "secret" } })).code).toBe(0);
    const metadataOfServer = await caller.unary(`${service}/ServerMetadata`, types.ServerMetadataRequest, types.ServerMetadataResponse, {});
    expect(metadataOfServer.code).toBe(0);
  });
});

test("metadata whose names a pattern matches become parameters, in streams too", async () => {
  await serving({ headerForwardPattern: /^x-/i }, async (server, plane) => {
    using caller = new Caller(server.url);
    const metadata = { "x-user": "ada", "y-user": "eve" };
    expect((await caller.infer({ ...echo(1), parameters: { own: { int64Param: 1 } } }, { metadata })).code).toBe(0);
    const stream = caller.stream(`${service}/ModelStreamInfer`, { "x-user": "bob" });
    const replied = new Promise((resolve) => stream.on("data", resolve));
    stream.write(Buffer.from(types.ModelInferRequest.encode(echo(1)).finish()));
    await replied;
    stream.end();
    expect(plane.requests.map(({ parameters }) => parameters)).toEqual([{ own: 1, "x-user": "ada" }, { "x-user": "bob" }]);
  });
});

test("connections end when they are as old as they may be; calls go on over new ones", async () => {
  await serving({ connectionAge: { ageMs: 100, graceMs: 1_000 } }, async (server) => {
    using caller = new Caller(server.url);
    const states: number[] = [];
    for (let state = caller.client.getChannel().getConnectivityState(true); states.length < 3;) {
      await new Promise<void>((resolve) => {
        caller.client.getChannel().watchConnectivityState(state, Date.now() + 10_000, () => resolve());
      });
      state = caller.client.getChannel().getConnectivityState(false);
      states.push(state);
    }
    const { IDLE, READY } = grpc.connectivityState;
    expect(states.slice(-2)).toEqual([READY, IDLE]);
    expect((await caller.infer(echo(1))).code).toBe(0);
  });
});

test.each(["v1", "v1alpha"])("reflection %s answers, and refuses what is no message of its own", async (version) => {
  await serving({}, async (server) => {
    using caller = new Caller(server.url);
    const open = () => caller.stream(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`);
    const asking = open();
    const answer = new Promise<Buffer>((resolve) => asking.on("data", resolve));
    // list_services (7): "*"
    asking.write(Buffer.from([0x3a, 1, 0x2a]));
    expect((await answer).toString("latin1")).toContain("inference.GRPCInferenceService");
    const over = new Promise((resolve) => asking.on("status", ({ code }) => resolve(code)));
    asking.end();
    expect(await over).toBe(grpc.status.OK);
    const wrong = open();
    wrong.write(Buffer.from([0xff, 0xff]));
    expect(await new Promise((resolve) => wrong.on("status", ({ code }) => resolve(code)))).toBe(grpc.status.INTERNAL);
    expect((await caller.infer(echo(1))).code).toBe(0);
  });
});

test("listens off loopback only with a token, or when told to", () => {
  expect(() => new ModelGrpcServer({ plane: addPlane(), log: keepLog(), host: "0.0.0.0" })).toThrow(/allowUnauthenticated/);
  expect(() => new ModelGrpcServer({ plane: addPlane(), log: keepLog(), host: "0.0.0.0", allowUnauthenticated: true })).not.toThrow();
});

const made = makeCertificate();

test.skipIf(made === undefined)("speaks TLS", async () => {
  const { certFile, keyFile } = made!;
  const certificate = readFileSync(certFile);
  await serving({ tls: { certFile, keyFile } }, async (server) => {
    expect(server.url).toMatch(/^grpcs:/);
    using caller = new Caller(server.url, grpc.credentials.createSsl(certificate), { "grpc.ssl_target_name_override": "localhost" });
    expect((await caller.infer(echo(1))).details).toBe("OK");
    using plain = new Caller(server.url);
    expect((await plain.infer(echo(1), { deadline: Date.now() + 1_000 })).code).not.toBe(0);
  });
  const missing = new ModelGrpcServer({
    plane: addPlane(),
    log: keepLog(),
    port: 0,
    tls: { certFile: path.join(folder, "none"), keyFile },
  });
  await expect(missing.start()).rejects.toMatchObject({ code: "invalid_config" });
});

test.each(made === undefined ? ["TCP"] : ["TCP", "TLS"])(
  "over %s a stop waits for calls, and no longer than a second for clients that stay silent",
  async (over) => {
    const tls = over === "TLS" ? made : undefined;
    await serving({ tls }, async (server, plane) => {
      const port = Number(new URL(server.url.replace("grpc", "http")).port);
      // One that does not hang up; over TLS it is still in its handshake.
      const silent = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).resume();
      await once(silent, "connect");
      const credentials = tls && grpc.credentials.createSsl(readFileSync(tls.certFile));
      using caller = new Caller(server.url, credentials, { "grpc.ssl_target_name_override": "localhost" });
      const slow = caller.infer({
        modelName: "sleep",
        inputs: [{ name: "MS", datatype: "INT32", shape: [1] }],
        rawInputContents: [new Uint8Array(Int32Array.of(1_500).buffer)],
      });
      await until(() => plane.seen.includes("admit sleep"), "the call");
      const since = performance.now();
      await server.stop(600_000);
      expect(performance.now() - since).toBeLessThan(10_000);
      expect((await slow).code).toBe(grpc.status.OK);
      silent.destroy();
    });
  },
  60_000,
);

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
/** Of 64 bytes, of which none follow. */
const headersFrame = Buffer.from([0, 0, 64, 1, 4, 0, 0, 0, 1]);

test.each([
  ["nothing of HTTP/2", Buffer.alloc(0)],
  ["half of its preface", preface.subarray(0, 10)],
  ["its preface", preface],
  ["all but a call", Buffer.concat([preface, emptySettings])],
  ["half of a call's headers", Buffer.concat([preface, emptySettings, headersFrame, Buffer.alloc(10)])],
])("a stop does not wait for a client that has said %s, and no more", async (_what, said) => {
  await serving({}, async (server) => {
    const client = connect({ port: Number(new URL(server.url.replace("grpc", "http")).port), host: "127.0.0.1", allowHalfOpen: true });
    const closed = once(client.resume(), "close");
    await once(client, "connect");
    client.write(said);
    // Until it is read.
    await pause(50);
    await server.stop(600_000);
    client.destroy();
    await closed;
  });
});

test("refuses messages over its limit, and takes those up to it", async () => {
  await serving({ maxMessageBytes: 100_000 }, async (server) => {
    using caller = new Caller(server.url);
    expect((await caller.infer(echo(99_000))).code).toBe(0);
    expect((await caller.infer(echo(101_000))).code).toBe(grpc.status.RESOURCE_EXHAUSTED);
    using compressing = new Caller(server.url, undefined, { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip });
    expect((await compressing.infer(echo(5_000_000))).code).toBe(grpc.status.RESOURCE_EXHAUSTED);
  });
});

test.each(["gzip", "deflate"] as const)("compresses answers with %s where it is told to, streams too", async (responseCompression) => {
  await serving({ responseCompression }, async (server) => {
    using caller = new Caller(server.url);
    const size = 200_000;
    const { message, code } = await caller.infer(echo(size));
    expect([code, Buffer.compare(message!.rawOutputContents[0]!, Buffer.alloc(size, 7))]).toEqual([0, 0]);
    // What does not fit uncompressed shows that it came compressed.
    using small = new Caller(server.url, undefined, { "grpc.max_receive_message_length": 20_000 });
    expect((await small.infer(echo(size))).details).toMatch(/decompresses to a size larger/);
    expect((await caller.infer(echo(3))).code).toBe(0);
    const stream = caller.stream(`${service}/ModelStreamInfer`);
    stream.write(Buffer.from(types.ModelInferRequest.encode(echo(size)).finish()));
    stream.end();
    const reply = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    expect(types.ModelStreamInferResponse.decode(reply).inferResponse?.rawOutputContents?.[0]?.byteLength).toBe(size);
  });
});

describe("messages made up to do harm", () => {
  const contents = fc.oneof(
    fc.record({ fp32Contents: fc.array(fc.float(), { maxLength: 4 }) }),
    fc.record({ intContents: fc.array(fc.integer(), { maxLength: 4 }) }),
    fc.record({ bytesContents: fc.array(fc.uint8Array({ maxLength: 8 }), { maxLength: 4 }) }),
    fc.record({ boolContents: fc.array(fc.boolean(), { maxLength: 4 }), uintContents: fc.array(fc.nat(), { maxLength: 2 }) }),
  );
  const parameter = fc.oneof(
    fc.record({ stringParam: fc.string() }),
    fc.record({ int64Param: fc.integer() }),
    fc.record({ boolParam: fc.boolean() }),
    fc.record({ uint64Param: fc.nat() }),
    fc.constant({}),
  );
  const names = fc.oneof(fc.constantFrom("add", "echo", "repeat", "sleep", "__proto__", "constructor", "../x", "a\0b"), fc.string());
  const parameters = fc.dictionary(
    fc.oneof(
      fc.constantFrom("priority", "timeout", "sequence_id", "classification", "shared_memory_region", "triton_x", "__proto__"),
      fc.string(),
    ),
    parameter,
    { maxKeys: 3 },
  );
  const tensor = fc.record(
    {
      name: names,
      datatype: fc.oneof(fc.constantFrom("FP32", "INT64", "BYTES", "BOOL", "FP16", "toString"), fc.string()),
      shape: fc.array(fc.oneof(fc.integer({ min: -3, max: 5 }), fc.constantFrom(2 ** 31, 2 ** 53 - 1, -(2 ** 53) + 1)), { maxLength: 4 }),
      parameters,
      contents,
    },
    { requiredKeys: ["name", "datatype", "shape"] },
  );
  const request = fc.record(
    {
      modelName: names,
      modelVersion: fc.oneof(fc.constantFrom("", "1", "abc", "-1", "99999999999999999999"), fc.string()),
      id: fc.string(),
      parameters,
      inputs: fc.array(tensor, { maxLength: 3 }),
      outputs: fc.array(fc.record({ name: names, parameters }), { maxLength: 2 }),
      rawInputContents: fc.array(fc.uint8Array({ maxLength: 24 }), { maxLength: 3 }),
    },
    { requiredKeys: [] },
  );
  const methods = Object.keys(types)
    .filter((name) => name.endsWith("Request"))
    .map((name) => name.slice(0, -"Request".length))
    .filter((name) => name !== "ModelInfer");

  const rounds = sized(20, 100);
  test("requests of every shape, whole, cut off and changed, over every method: each gets an answer, and the server goes on", async () => {
    await serving({}, async (server, plane) => {
      using caller = new Caller(server.url);
      const answers = new Map<number, number>();
      const check = async (bytes: Buffer, method: string): Promise<void> => {
        const { code } = await caller.raw(`${service}/${method}`, bytes, { deadline: Date.now() + 20_000 });
        expect([0, 3, 5, 12, 13, 14]).toContain(code);
        answers.set(code, (answers.get(code) ?? 0) + 1);
      };
      const encoded = request.map((one) => Buffer.from(types.ModelInferRequest.encode(one).finish()));
      const spoilt = fc
        .tuple(encoded, fc.nat(), fc.nat({ max: 255 }), fc.constantFrom("whole", "cut", "changed"))
        .map(([bytes, at, byte, how]) => {
          if (how === "whole" || bytes.length === 0) return bytes;
          if (how === "cut") return bytes.subarray(0, at % bytes.length);
          const copy = Buffer.from(bytes);
          copy[at % copy.length] = byte;
          return copy;
        });
      const batches = fc.array(
        fc.tuple(spoilt, fc.oneof({ weight: 4, arbitrary: fc.constant("ModelInfer") }, fc.constantFrom(...methods))),
        {
          minLength: 40,
          maxLength: 40,
        },
      );
      await fc.assert(
        fc.asyncProperty(batches, async (batch) => {
          await Promise.all(batch.map(([bytes, method]) => check(bytes, method)));
        }),
        { numRuns: rounds },
      );
      expect(plane.inHand).toBe(0);
      expect([...answers.values()].reduce((a, b) => a + b)).toBeGreaterThanOrEqual(40 * rounds);
      expect([...answers.keys()].sort()).toEqual(expect.arrayContaining([0, 3, 5, 13]));
      const after = await caller.infer({
        modelName: "add",
        inputs: ["A", "B"].map((name) => ({ name, datatype: "FP32", shape: [1] })),
        rawInputContents: [floats(1), floats(2)],
      });
      expect(after.code).toBe(0);
    });
  }, 120_000);
});
