import { Metadata, status } from "@grpc/grpc-js";
import { setTimeout as pause } from "node:timers/promises";
import { deflateSync, gzipSync } from "node:zlib";
import { inference } from "../../src/protocol/grpc/generated/messages.js";
import { callByFrames, type FrameCall } from "./http2-frames.ts";
import { inferMessage } from "./infer-message.ts";
import { models, statelessModels } from "./models.ts";
import { hostileText, mutate, wholeText } from "./mutate.ts";
import type { Random } from "./random.ts";
import { shown, within, Wrong, type FuzzCase } from "./target.ts";
import { talk, type WireScript } from "./wire.ts";

const methods = [
  ...["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "ModelConfig", "ModelStatistics"],
  ...[
    "RepositoryIndex",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
  ],
  ...["CudaSharedMemoryRegister", "CudaSharedMemoryUnregister", "TraceSetting"],
] as const;

/** Messages whose members are wrong. */
export const wrongMessages: FuzzCase = async (random, { grpc }) => {
  await grpc.call(
    "ModelInfer",
    inferMessage(random, random.from(models), 0.12),
    metadataOf(random),
    random.chance(0.1) ? random.between(1, 2) : 0,
  );
};

/** Messages whose bytes are wrong. */
export const wrongBytes: FuzzCase = async (random, { grpc }) => {
  await grpc.call("ModelInfer", mutate(random, inferMessage(random, random.from(models), 0)));
};

/** Sound messages, so that broken ones come between them. */
export const soundMessages: FuzzCase = async (random, { grpc }) => {
  const model = random.from(statelessModels);
  const { code, details } = await grpc.call("ModelInfer", inferMessage(random, model, 0));
  // A queue that is full is no failure.
  if (code !== status.OK && !(model.name === "queued" && code === status.UNAVAILABLE)) {
    throw new Wrong(`a sound request of '${model.name}' got ${code}: ${details}`);
  }
};

/** Any bytes as the message of any method. */
export const anyMethod: FuzzCase = async (random, { grpc }) => {
  const named = inference.ModelReadyRequest.encode({
    name: wholeText(random),
    version: random.from(["", "1", "x", wholeText(random)]),
  }).finish();
  const message = random.from([() => Buffer.from(named), () => mutate(random, named), () => random.bytes(random.size(500))])();
  const method = random.chance(0.9)
    ? random.from(methods)
    : random.from(["/grpc.health.v1.Health/Check", "Nope", "/x/y", "/grpc.reflection.v1.ServerReflection/x"]);
  await grpc.call(method, message);
};

/** Loads and unloads under names that lead elsewhere, with files that do. */
export const wrongLoads: FuzzCase = async (random, { grpc, server }) => {
  const { RepositoryModelLoadRequest, RepositoryModelUnloadRequest } = inference;
  const out = `${"../".repeat(random.between(1, 3))}stray-${random.next()}`;
  const modelName = random.from([out, `../models/${out}`, "..", ".", "a\0b", "a/b", "", "x/../..", `../temporary/stray`, "é".repeat(200)]);
  const value = (): inference.ModelRepositoryParameter.$Properties =>
    random.from([{ bytesParam: random.bytes(20) }, { stringParam: "{}" }, { boolParam: true }, { int64Param: 1 }, {}]);
  const path = random.from(["1/model.onnx", "config.pbtxt", out, `1/${out}`, "a\0b", ""]);
  const parameters: Record<string, inference.ModelRepositoryParameter.$Properties> = {
    ...(random.chance(0.8) ? { config: { stringParam: '{"backend":"onnxruntime"}' } } : { config: value() }),
    ...(random.chance(0.7) ? { [`file:${path}`]: { bytesParam: random.bytes(random.size(2_000)) } } : {}),
    ...(random.chance(0.2) ? { [wholeText(random)]: value() } : {}),
  };
  const load = random.chance(0.8);
  const message = load
    ? RepositoryModelLoadRequest.encode({ modelName, parameters }).finish()
    : RepositoryModelUnloadRequest.encode({ modelName, parameters: { unload_dependents: value() } }).finish();
  const { code } = await grpc.call(
    load ? "RepositoryModelLoad" : "RepositoryModelUnload",
    random.chance(0.9) ? Buffer.from(message) : mutate(random, message),
  );
  if (load && code === status.OK && /[/\0]|^\.*$/.test(modelName))
    throw new Wrong(`a model of the name ${JSON.stringify(modelName)} was loaded`);
  const strays = await server.strays();
  if (strays.length > 0) throw new Wrong(`a load wrote outside the repository: ${strays.join(", ")}`);
};

/** Ten thousand of everything; groups in groups; lengths that overflow. */
export const largeMessages: FuzzCase = async (random, { grpc }) => {
  const many = 10_000;
  const tensor = { name: "x", datatype: "FP32", shape: [1, 2] };
  const encode = (request: inference.ModelInferRequest.$Properties): Buffer =>
    Buffer.from(inference.ModelInferRequest.encode({ modelName: "id_fp32", ...request }).finish());
  const message = random.from([
    () =>
      encode({
        inputs: random.list(many, (index) => ({ ...tensor, name: `i${index}` })),
        rawInputContents: random.list(many, () => Buffer.alloc(8)),
      }),
    () => encode({ inputs: [tensor], rawInputContents: random.list(many, () => Buffer.alloc(8)) }),
    () => encode({ inputs: [tensor], outputs: random.list(many, (index) => ({ name: `o${index}` })), rawInputContents: [Buffer.alloc(8)] }),
    () => encode({ parameters: Object.fromEntries(random.list(many, (index) => [`p${index}`, { int64Param: index }])) }),
    () => encode({ inputs: [{ ...tensor, shape: random.list(many, () => 1) }], rawInputContents: [Buffer.alloc(8)] }),
    () => encode({ id: "é".repeat(300_000) }),
    // Unknown groups, one in the other: field 15, wire type 3.
    () => Buffer.alloc(random.from([99, 101, 100_000]), 0x7b),
    () => Buffer.concat([Buffer.alloc(50_000, 0x7b), Buffer.alloc(50_000, 0x7c)]),
    // A length of 2^64 - 1, of 2^31, and a number that does not end.
    () => Buffer.from([0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00]),
    () => Buffer.from([0x2a, 0x80, 0x80, 0x80, 0x80, 0x08, 0x00]),
    () => Buffer.alloc(random.from([10, 11, 1_000]), 0xff),
    () => random.bytes(300_000),
  ])();
  await grpc.call("ModelInfer", message, new Metadata(), random.chance(0.2) ? 2 : 0);
};

function metadataOf(random: Random): Metadata {
  const metadata = new Metadata();
  if (random.chance(0.8)) return metadata;
  for (let left = random.below(4); left > 0; left--) {
    const name = random.from(["x-request-id", "x-timeout-ms", "authorization", "cookie", "x", "grpc-encoding", "grpc-accept-encoding"]);
    // What grpc-js sends at all; the rest is the bare sessions' below.
    metadata.set(
      name,
      hostileText(random)
        .replaceAll(/[^\x21-\x7e]/g, "?")
        .slice(0, 2_000) || "x",
    );
  }
  if (random.chance(0.3)) metadata.set("x-bin", random.bytes(random.size(500)));
  return metadata;
}

/** Streams with messages that are wrong, and streams that break off. */
export const streams: FuzzCase = async (random, { grpc }) => {
  const client = grpc.open();
  try {
    const call = grpc.stream(client, metadataOf(random));
    const ended = new Promise<{ readonly code: status; readonly details: string }>((resolve) => call.on("status", resolve));
    const sent = random.between(0, 8);
    let replies = 0;
    let broken = false;
    call.on("data", (reply: Buffer) => {
      replies += 1;
      inference.ModelStreamInferResponse.decode(reply);
    });
    for (let left = sent; left > 0; left--) {
      const message = inferMessage(random, random.from(models), random.from([0, 0, 0.1]));
      const isBroken = random.chance(0.1);
      broken ||= isBroken;
      call.write(isBroken ? mutate(random, message) : message);
    }
    const leaves = random.chance(0.3);
    if (leaves) {
      await pause(random.from([0, 0, 1, 5]));
      if (random.chance(0.5)) call.cancel();
      else client.close();
    }
    call.end();
    if (leaves && !call.destroyed) call.cancel();
    const { code, details } = await within(ended, "a stream");
    if (leaves) return;
    grpc.check(code, details);
    if (!broken && (code !== status.OK || replies !== sent))
      throw new Wrong(`${sent} requests of a stream had ${replies} replies, and it ended with ${code}: ${details}`);
  } finally {
    client.close();
  }
};

/** gRPC that is broken beneath its messages: heads, frames, compression. */
export const brokenGrpc: FuzzCase = async (random, { server }) => {
  const calls = random.list(random.between(1, 3), () => brokenCall(random));
  try {
    await callByFrames(server.grpcPort, calls);
  } catch (thrown) {
    const sent = calls.map(({ headers, data, end }) => `${JSON.stringify(headers)} ${shown(Buffer.concat(data))} ${end}`).join("\n  ");
    throw new Wrong(`${(thrown as Error).message}\n  ${sent}`, { cause: thrown });
  }
};

function brokenCall(random: Random): FrameCall {
  const sound = inferMessage(random, random.from(models), 0);
  const often = <T>(usual: T, others: readonly T[]): T => (random.chance(0.9) ? usual : random.from(others));
  const headers: (readonly [string, string])[] = [
    [":method", often("POST", ["GET", "PUT", "OPTIONS", "", "x y"])],
    [":scheme", "http"],
    [":path", often("/inference.GRPCInferenceService/ModelInfer", ["/", "", "/x", "x", "*", "/inference.GRPCInferenceService/", "//"])],
    ["content-type", often("application/grpc", ["", "application/json", "application/grpc+proto", "application/grpc-web", "x"])],
  ];
  const some = (chance: number, name: string, values: readonly string[]): void => {
    if (random.chance(chance)) headers.push([name, random.from(values)]);
  };
  some(0.8, ":authority", ["x"]);
  some(0.8, "te", ["trailers", "x"]);
  some(0.3, "grpc-encoding", ["gzip", "deflate", "identity", "snappy", "", "x".repeat(1_000)]);
  some(0.3, "grpc-timeout", ["20S", "0n", "", "x", "-1S", "99999999H", "999999999999S", "1", "S", "1.5S"]);
  some(0.2, "x-bin", ["****", "=", "AA", "A".repeat(5_000)]);
  some(0.2, "grpc-accept-encoding", ["", ",", "x", "gzip"]);
  some(0.1, "content-length", ["0", "5", "-1", "x", "99999999999999999999"]);
  some(0.1, hostileText(random).slice(0, 500), ["x", hostileText(random).slice(0, 500)]);
  if (random.chance(0.02))
    headers.push(...random.list(3_000, (index) => [`h${index}`, "x"] as const).slice(0, random.from([50, 200, 1_000])));
  const body = random.from(frames)(random, sound);
  const data = random.chance(0.5) ? [body] : [body.subarray(0, 3), body.subarray(3)];
  // Some never end, some are given up.
  return { headers, data, end: random.chance(0.8) ? "end" : random.from(["none", 0, 2, 7, 8] as const) };
}

function frame(flag: number, length: number, message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([head, message]);
}

const frames: readonly ((random: Random, message: Buffer) => Buffer)[] = [
  (random, message) => frame(0, random.from([0, 1, message.length - 1, message.length + 1, 0x7fffffff, 0xffffffff, 0x80000000]), message),
  (random, message) => frame(random.from([1, 2, 0xff]), message.length, message),
  (_random, message) => Buffer.concat([frame(0, message.length, message), frame(0, message.length, message)]),
  (random, message) => mutate(random, frame(0, message.length, message)),
  (random, message) => {
    const packed = random.chance(0.5) ? gzipSync(message) : deflateSync(message);
    const broken = random.chance(0.5) ? mutate(random, packed) : packed;
    return frame(1, broken.length, broken);
  },
  (random) => random.bytes(random.size(200)),
  (_random, message) => message,
];

/** What is not even HTTP/2. */
export const brokenHttp2: FuzzCase = async (random, { server }) => {
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const empty = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const piece = (): Buffer => {
    const payload = random.bytes(random.size(500));
    const head = Buffer.alloc(9);
    head.writeUIntBE(random.chance(0.8) ? payload.length : random.below(2 ** 24), 0, 3);
    head[3] = random.below(12);
    head[4] = random.next() & 0xff;
    head.writeUInt32BE(random.from([0, 1, 3, 2, 0x7fffffff, 0xffffffff]), 5);
    return Buffer.concat([head, payload]);
  };
  const bytes = random.from([
    () => Buffer.concat([preface, empty, ...random.list(random.between(1, 20), piece)]),
    () => mutate(random, Buffer.concat([preface, empty])),
    () => random.bytes(random.size(2_000)),
    () => Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    () => preface.subarray(0, random.below(preface.length)),
  ])();
  // Node keeps a connection whose client has said that it sends no more, as it keeps any that is idle.
  const script: WireScript = { parts: [bytes], pauseMs: 0, end: "leave", leaveMs: random.from([0, 1, 10]) };
  try {
    await talk(server.grpcPort, script);
  } catch (thrown) {
    throw new Wrong(`${(thrown as Error).message}\n  sent: ${shown(bytes)}`, { cause: thrown });
  }
};
