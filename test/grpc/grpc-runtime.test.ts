/** Ordinary services over gRPC: by name, and as methods of a user's own .proto. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { errorCodes, type ServableError } from "../../src/errors.ts";
import { GrpcRuntime } from "../../src/runtime/grpc/grpc-runtime.ts";
import type { GrpcRuntimeOptions } from "../../src/runtime/grpc/grpc-runtime-options.ts";
import { grpcCode, grpcStatus } from "../../src/runtime/grpc/status.ts";
import { defineService } from "../../src/service/define-service.ts";
import { streamOf } from "../../src/service/schema.ts";
import { runtimeContract, type ContractReply, type RunningRuntime } from "../../src/testing/runtime-contract.ts";
import { frameOf, openSession } from "../support/grpc-bytes.ts";
import { deferred, keepLog, until } from "../support/serving.ts";
import { Caller, grpc, messages } from "./calling.ts";

const { CallRequest, CallResponse } = messages.servable.v1;
const callPath = "/servable.v1.Services/Call";
const streamPath = "/servable.v1.Services/CallStream";

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()));
});

async function serve(
  services: GrpcRuntimeOptions["services"],
  options: Partial<GrpcRuntimeOptions> = {},
): Promise<{ runtime: GrpcRuntime; caller: Caller }> {
  const runtime = new GrpcRuntime({ services, port: 0, log: keepLog(), graceMs: 1_000, ...options });
  await runtime.start();
  const caller = new Caller(runtime.url);
  open.push({
    stop: async () => {
      caller[Symbol.dispose]();
      await runtime.stop();
    },
  });
  return { runtime, caller };
}

interface Streamed {
  readonly items: Buffer[];
  readonly status: grpc.StatusObject;
}

function readAll(call: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<Streamed> {
  const items: Buffer[] = [];
  call.on("data", (item: Buffer) => items.push(item));
  return new Promise((resolve) => {
    call.on("status", (status) => setImmediate(() => resolve({ items, status })));
  });
}

const encode = (message: messages.servable.v1.CallRequest.$Properties): Buffer => Buffer.from(CallRequest.encode(message).finish());
const text = (bytes: Buffer): string => Buffer.from(CallResponse.decode(bytes).body).toString();

function contractSend(caller: Caller): RunningRuntime["send"] {
  return async ({ service, json, signal }): Promise<ContractReply> => {
    const call = caller.stream(streamPath);
    signal?.addEventListener("abort", () => call.cancel());
    call.end(encode({ service, contentType: "application/json", body: Buffer.from(json) }));
    const { items, status } = await readAll(call);
    const code = status.code === grpc.status.OK ? undefined : (String(status.metadata.get("servable-code")[0]) as ContractReply["code"]);
    return { items: items.map(text), code };
  };
}

describe("the contract of runtimes", () => {
  const start = async (services: GrpcRuntimeOptions["services"]): Promise<RunningRuntime> => {
    const runtime = new GrpcRuntime({ services, port: 0, log: keepLog() });
    await runtime.start();
    const caller = new Caller(runtime.url);
    return {
      send: contractSend(caller),
      stop: async () => {
        await runtime.stop();
        caller[Symbol.dispose]();
      },
    };
  };
  for (const { name, run, skip } of runtimeContract({ start })) test.skipIf(skip !== undefined)(name, run);
});

test("the table of statuses is the one that the page of errors has", () => {
  const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z_]+)` \| \d+ \| ([A-Z_]+) \|/gm)].map(([, code, name]) => [code, name]);
  expect(rows.length).toBe(errorCodes.length);
  expect(Object.fromEntries(rows)).toEqual(
    Object.fromEntries(
      Object.entries(grpcCode).map(([code, number]) => [code, Object.entries(grpcStatus).find(([, n]) => n === number)![0]]),
    ),
  );
});

describe("services by name", () => {
  const double = defineService({ name: "double", input: z.object({ x: z.number() }), output: z.number(), call: ({ x }) => x * 2 });
  const count = defineService({
    name: "count",
    async *call(n) {
      for (let i = 0; i < Number(n); i += 1) yield await Promise.resolve(i);
    },
  });
  const sum = defineService({
    name: "sum",
    input: streamOf(z.number()),
    async *call(items) {
      let total = 0;
      for await (const item of items) yield (total += item);
    },
  });

  test("one request, one answer, with its type", async () => {
    const { caller } = await serve([double]);
    const { message, code } = await caller.unary(callPath, CallRequest, CallResponse, { service: "double", body: Buffer.from('{"x":21}') });
    expect({ code, type: message?.contentType, body: Buffer.from(message!.body).toString() }).toEqual({
      code: 0,
      type: "application/json",
      body: "42",
    });
  });

  test("an error has its code, its fields and the request's id in the trailers", async () => {
    const { caller } = await serve([double]);
    const answer = await caller.unary(
      callPath,
      CallRequest,
      CallResponse,
      { service: "double", body: Buffer.from('{"x":"one"}') },
      { metadata: { "x-request-id": "abc" } },
    );
    expect(answer.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(answer.trailers.get("servable-code")).toEqual(["invalid_request"]);
    expect(answer.trailers.get("x-request-id")).toEqual(["abc"]);
    const problem = JSON.parse(String(answer.trailers.get("servable-problem-bin")[0]));
    expect(problem).toMatchObject({ code: "invalid_request", requestId: "abc", errors: [{ pointer: "#/x" }] });
    expect(answer.details).toBe(problem.detail);
  });

  test.each([
    ["a service that does not exist", { service: "nobody" }, "not_found"],
    ["a type that it does not read", { service: "double", contentType: "text/csv" }, "unsupported_media_type"],
    ["a type that it does not write", { service: "double", accept: "text/csv" }, "not_acceptable"],
    ["a stream asked for as one answer", { service: "count", body: Buffer.from("3") }, "invalid_request"],
    ["half a character in a name, which is no UTF-8", { service: "\ud800" }, "invalid_request"],
  ])("refuses %s", async (_name, request, code) => {
    const { caller, runtime } = await serve([double, count]);
    const answer = await caller.unary(callPath, CallRequest, CallResponse, request);
    expect(answer.trailers.get("servable-code")).toEqual([code]);
    expect(answer.code).toBe(grpcCode[code as keyof typeof grpcCode]);
    await until(() => Object.values(runtime.status!.services).every(({ inFlight }) => inFlight === 0));
  });

  test("a body over its service's limit, though another one may take it", async () => {
    const { caller } = await serve([
      { service: double, policy: { maxBodyBytes: 10 } },
      { service: count, policy: { maxBodyBytes: 100_000 } },
    ]);
    const answer = await caller.unary(callPath, CallRequest, CallResponse, { service: "double", body: Buffer.alloc(11, 32) });
    expect(answer.trailers.get("servable-code")).toEqual(["payload_too_large"]);
    expect((await caller.raw(callPath, Buffer.alloc(300_000))).code).toBe(grpc.status.RESOURCE_EXHAUSTED);
  });

  test("streams both ways, item by item", async () => {
    const { caller } = await serve([sum]);
    const call = caller.stream(streamPath);
    const got: string[] = [];
    call.on("data", (item: Buffer) => got.push(text(item)));
    call.write(encode({ service: "sum", body: Buffer.from("1\n") }));
    await until(() => got.length === 1);
    call.write(encode({ body: Buffer.from("2\n3\n") }));
    await until(() => got.length === 3);
    call.end();
    await new Promise((resolve) => call.on("status", resolve));
    expect(got).toEqual(["1", "3", "6"]);
  });

  test("a stream is not made faster than it is read", async () => {
    let made = 0;
    const flood = defineService({
      name: "flood",
      async *call() {
        for (; made < 600; made += 1) yield await Promise.resolve("x".repeat(65_536));
      },
    });
    const { caller } = await serve([flood]);
    const call = caller.stream(streamPath);
    call.end(encode({ service: "flood", body: Buffer.from("null") }));
    // A client of grpc-js that never began to read takes in whatever comes.
    await new Promise((resolve) => call.once("data", resolve));
    call.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const paused = made;
    expect(paused).toBeLessThan(200);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(made).toBe(paused);
    const rest = readAll(call);
    call.resume();
    const { items, status } = await rest;
    expect([items.length, status.code]).toEqual([599, 0]);
  });

  test("a client that leaves a stream ends it", async () => {
    const ended = deferred();
    const endless = defineService({
      name: "endless",
      async *call() {
        try {
          for (;;) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            yield 1;
          }
        } finally {
          ended.resolve();
        }
      },
    });
    const { caller, runtime } = await serve([endless]);
    const call = caller.stream(streamPath);
    call.end(encode({ service: "endless", body: Buffer.from("null") }));
    await new Promise((resolve) => call.once("data", resolve));
    call.cancel();
    await ended.promise;
    await until(() => runtime.status!.services.endless!.inFlight === 0);
  });

  test("a client's deadline lowers the service's", async () => {
    const reasons: string[] = [];
    const slow = defineService({
      name: "slow",
      call: (_, { signal, deadline }) =>
        new Promise((_resolve, reject) => {
          reasons.push(deadline - Date.now() < 5_000 ? "soon" : "late");
          signal.addEventListener("abort", () => {
            reasons.push((signal.reason as ServableError).code);
            reject(signal.reason as Error);
          });
        }),
    });
    const { caller } = await serve([slow]);
    const answer = await caller.unary(
      callPath,
      CallRequest,
      CallResponse,
      { service: "slow", body: Buffer.from("1") },
      { deadline: Date.now() + 150 },
    );
    expect(answer.code).toBe(grpc.status.DEADLINE_EXCEEDED);
    await until(() => reasons.length === 2);
    expect(reasons[0]).toBe("soon");
    expect(reasons[1]).toMatch(/deadline_exceeded|cancelled/);
  });

  test("stops while streams without anything in hand are open", async () => {
    const { caller, runtime } = await serve([sum]);
    const call = caller.stream(streamPath);
    const done = readAll(call);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const since = Date.now();
    await runtime.stop();
    expect(Date.now() - since).toBeLessThan(900);
    expect((await done).status.code).toBe(grpc.status.UNAVAILABLE);
  });

  test("answers calls whose messages come to their end after it was asked to stop", async () => {
    const { runtime } = await serve([double]);
    using session = await openSession(Number(runtime.url.split(":").at(-1)));
    const frame = frameOf(encode({ service: "double", contentType: "application/json", body: Buffer.from(`{"x":2}`) }));
    const calls = Array.from({ length: 16 }, () => session.call(callPath));
    for (const { stream } of calls) stream.write(frame.subarray(0, 7));
    await session.ping();
    const stopped = runtime.stop();
    for (const { stream } of calls) stream.end(frame.subarray(7));
    expect(await Promise.all(calls.map(({ status }) => status))).toEqual(calls.map(() => "0"));
    await stopped;
  });

  test("is started once, says where it is, and refuses impossible options", async () => {
    const { runtime } = await serve([double]);
    expect(runtime.url).toMatch(/^grpc:\/\/127\.0\.0\.1:\d+$/);
    await expect(runtime.start()).rejects.toMatchObject({ code: "invalid_argument" });
    const other = new GrpcRuntime({ services: [double], port: Number(runtime.url.split(":").at(-1)), log: keepLog() });
    await expect(other.start()).rejects.toMatchObject({ code: "address_in_use" });
    expect(() => new GrpcRuntime({ services: [], host: "0.0.0.0" })).toThrow(/Serving on 0\.0\.0\.0/);
    expect(() => new GrpcRuntime({ services: [], port: 70_000 })).toThrow(/port/);
    expect(() => new GrpcRuntime({ services: [], maxMessageBytes: 2 ** 31 })).toThrow(/maxMessageBytes/);
  });
});

describe("methods of a user's own .proto", () => {
  const file = path.join(import.meta.dirname, "greeter.proto");
  const { Root } = createRequire(import.meta.url)("protobufjs") as typeof import("protobufjs");
  const root = new Root();
  root.loadSync(file);
  const request = root.lookupType("greet.HelloRequest");
  const reply = root.lookupType("greet.HelloReply");
  const say = (message: object): Buffer => Buffer.from(request.encode(request.fromObject(message)).finish());
  const heard = (bytes: Buffer): object => reply.toObject(reply.decode(bytes), { longs: String, enums: String });
  const shape = z.object({
    name: z.string(),
    number: z.union([z.number(), z.string()]),
    mood: z.enum(["CALM", "GLAD"]),
    data: z.string(),
    tags: z.array(z.string()),
  });
  const hello = defineService({
    name: "hello",
    input: shape,
    call: ({ name, number, mood, data }) => ({ text: `hello ${name}`, number, mood, data }),
  });
  const countTo = defineService({
    name: "count-to",
    input: shape,
    async *call({ number }) {
      for (let i = 0; i < Number(number); i += 1) yield await Promise.resolve({ number: i });
    },
  });
  const chat = defineService({
    name: "chat",
    input: streamOf(shape),
    async *call(items) {
      for await (const { name } of items) yield { text: name.toUpperCase() };
    },
  });
  const total = defineService({
    name: "total",
    input: streamOf(shape),
    async call(items) {
      let number = 0;
      for await (const item of items) number += Number(item.number);
      return { number };
    },
  });
  const wrong = defineService({ name: "wrong", call: () => ({ text: 5, nothing: true }) });
  const methods = {
    "greet.Greeter/SayHello": "hello",
    "greet.Greeter/Count": "count-to",
    "greet.Greeter/Chat": "chat",
    "greet.Greeter/Sum": "total",
  };
  const start = (mapping: Record<string, string> = methods) =>
    serve([hello, countTo, chat, total, wrong], { protos: [{ file, methods: mapping }] });

  test("one message each way, with numbers of 64 bits, enums and bytes", async () => {
    const { caller } = await start();
    const send = async (message: object): Promise<object> => heard((await caller.raw("/greet.Greeter/SayHello", say(message))).message!);
    expect(await send({ name: "you", number: 7, mood: "GLAD", data: Buffer.from([0, 255]) })).toEqual({
      text: "hello you",
      number: "7",
      mood: "GLAD",
      data: Buffer.from([0, 255]),
    });
    expect(await send({ name: "", number: "9007199254740993" })).toMatchObject({ text: "hello ", number: "9007199254740993" });
    expect(await send({ number: "-1" })).toMatchObject({ number: "-1" });
  });

  test("streams one way, the other, and both", async () => {
    const { caller } = await start();
    const run = async (method: string, ...sent: object[]): Promise<object[]> => {
      const call = caller.stream(`/greet.Greeter/${method}`);
      for (const message of sent) call.write(say(message));
      call.end();
      const { items, status } = await readAll(call);
      expect(status.details).toBe("OK");
      return items.map(heard);
    };
    expect(await run("Count", { number: 3 })).toMatchObject([{}, { number: "1" }, { number: "2" }]);
    expect(await run("Chat", { name: "a" }, { name: "b" })).toEqual([{ text: "A" }, { text: "B" }]);
    expect(await run("Sum", { number: 2 }, { number: 40 })).toEqual([{ number: "42" }]);
  });

  test("what is not mapped is not implemented, and what does not fit is an error", async () => {
    const { caller } = await start({ ...methods, "greet.Greeter/SayHello": "wrong" });
    expect((await caller.raw("/greet.Greeter/Unmapped", say({}))).code).toBe(grpc.status.UNIMPLEMENTED);
    expect((await caller.raw("/greet.Greeter/SayHello", say({}))).trailers.get("servable-code")).toEqual(["serialization_failed"]);
    expect((await caller.raw("/greet.Greeter/SayHello", Buffer.from([255, 255, 255]))).code).toBe(grpc.status.INVALID_ARGUMENT);
  });

  test.each([
    ["a method that there is not", { "greet.Greeter/Nothing": "hello" }, /no method/],
    ["a name that is none", { Greeter: "hello" }, /no method/],
    ["a service that there is not", { "greet.Greeter/SayHello": "nobody" }, /no such service/],
    ["a stream for one value", { "greet.Greeter/Chat": "hello" }, /takes a stream/],
  ])("refuses to start with %s", async (_name, mapping, message) => {
    await expect(start(mapping as unknown as Record<string, string>)).rejects.toThrow(message);
  });

  test("reflection tells of them", async () => {
    const { caller } = await start();
    const reflection = createRequire(import.meta.url)("@grpc/proto-loader").loadSync(
      path.join(path.dirname(createRequire(import.meta.url).resolve("@grpc/reflection")), "../proto/grpc/reflection/v1/reflection.proto"),
    );
    const ReflectionClient = (
      grpc.loadPackageDefinition(reflection) as Record<string, never> & {
        grpc: { reflection: { v1: { ServerReflection: grpc.ServiceClientConstructor } } };
      }
    ).grpc.reflection.v1.ServerReflection;
    const client = new ReflectionClient(caller.client.getChannel().getTarget().replace("dns:", ""), grpc.credentials.createInsecure());
    const ask = (question: object): Promise<Record<string, { service: { name: string }[]; fileDescriptorProto: Buffer[] }>> =>
      new Promise((resolve, reject) => {
        const call = client.ServerReflectionInfo!();
        call.on("data", resolve);
        call.on("error", reject);
        call.write(question);
        call.end();
      });
    const { listServicesResponse } = await ask({ listServices: "" });
    expect(listServicesResponse!.service.map(({ name }: { name: string }) => name).sort()).toEqual([
      "greet.Greeter",
      "grpc.health.v1.Health",
      "servable.v1.Services",
    ]);
    const { fileDescriptorResponse } = await ask({ fileContainingSymbol: "greet.Greeter" });
    expect(Buffer.concat(fileDescriptorResponse!.fileDescriptorProto).toString()).toContain("SayHello");
    client.close();
  });
});
