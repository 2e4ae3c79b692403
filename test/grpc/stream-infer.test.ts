/** `ModelStreamInfer`, as any client meets it. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ModelGrpcServer } from "../../src/runtime/grpc/model-grpc-server.ts";
import { keepLog, until } from "../support/serving.ts";
import { addPlane, type AddPlane } from "./add-plane.ts";
import { Caller, floats, grpc, messages } from "./calling.ts";

const { ModelInferRequest, ModelStreamInferResponse } = messages.inference;
type Request = messages.inference.ModelInferRequest.$Properties;

let plane: AddPlane;
let server: ModelGrpcServer;
let caller: Caller;

beforeAll(async () => {
  plane = addPlane();
  server = new ModelGrpcServer({ plane, log: keepLog(), port: 0 });
  await server.start();
  caller = new Caller(server.url);
});
afterAll(async () => {
  caller[Symbol.dispose]();
  await server.stop(100);
});
beforeEach(() => {
  plane.seen.length = plane.most = 0;
});

interface Open {
  readonly call: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly replies: messages.inference.ModelStreamInferResponse[];
  readonly status: Promise<grpc.StatusObject>;
  send(request: Request): void;
}

function open(from: Caller = caller): Open {
  const call = from.stream("/inference.GRPCInferenceService/ModelStreamInfer");
  const replies: messages.inference.ModelStreamInferResponse[] = [];
  call.on("data", (bytes: Buffer) => replies.push(ModelStreamInferResponse.decode(bytes)));
  const status = new Promise<grpc.StatusObject>((resolve) => call.on("status", (given) => setImmediate(() => resolve(given))));
  return { call, replies, status, send: (request) => call.write(Buffer.from(ModelInferRequest.encode(request).finish())) };
}

const int = (modelName: string, id: string, value: number, parameters: Request["parameters"] = {}): Request => ({
  modelName,
  id,
  parameters,
  inputs: [{ name: "N", datatype: "INT32", shape: [1] }],
  rawInputContents: [new Uint8Array(Int32Array.of(value).buffer)],
});

test("replies come in the requests' order, though later ones are done sooner", async () => {
  const { call, replies, status, send } = open();
  const times = [200, 1, 100, 0, 50];
  for (const [i, ms] of times.entries()) send(int("sleep", String(i), ms));
  call.end();
  expect((await status).code).toBe(0);
  expect(replies.map(({ inferResponse }) => inferResponse?.id)).toEqual(["0", "1", "2", "3", "4"]);
  expect(plane.most).toBeGreaterThan(1);
});

test("an error is a reply in its place, and the stream goes on", async () => {
  const { call, replies, status, send } = open();
  send(int("sleep", "a", 50));
  send({ modelName: "nobody", id: "b" });
  send({ modelName: "echo", id: "c", parameters: { triton_x: { boolParam: true } } });
  send({ ...int("echo", "d", 1), rawInputContents: [] });
  send({
    modelName: "add",
    id: "e",
    inputs: ["A", "B"].map((name) => ({ name, datatype: "FP32", shape: [1] })),
    rawInputContents: [floats(1), floats(2)],
  });
  call.end();
  expect((await status).code).toBe(0);
  expect(replies.map(({ errorMessage, inferResponse }) => [inferResponse?.id, errorMessage])).toEqual([
    ["a", ""],
    ["b", "Request for unknown model: 'nobody' is not found"],
    ["c", "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."],
    ["d", "unable to find data for input tensor 'N' for model 'echo' in request."],
    ["e", ""],
  ]);
  expect(plane.inHand).toBe(0);
});

test("a decoupled model gives any number of replies, and a last, empty one to who asks for it", async () => {
  const { call, replies, status, send } = open();
  send(int("repeat", "plain", 3));
  send(int("repeat", "none", 0));
  call.end();
  await status;
  expect(replies.map(({ inferResponse }) => Buffer.from(inferResponse!.rawOutputContents![0]!).readInt32LE())).toEqual([0, 1, 2]);
  const final = open();
  const wants = { triton_enable_empty_final_response: { boolParam: true } };
  final.send(int("repeat", "r", 2, wants));
  final.send(int("repeat", "none", 0, wants));
  final.send(int("echo", "one", 7, wants));
  final.send({ modelName: "nobody", id: "bad", parameters: wants });
  final.call.end();
  expect((await final.status).code).toBe(0);
  const of = (id: string): unknown[] =>
    final.replies
      .filter(({ inferResponse }) => inferResponse?.id === id)
      .map(({ inferResponse }) => [inferResponse!.outputs!.length, inferResponse!.parameters!.triton_final_response?.boolParam]);
  expect(of("r")).toEqual([
    [1, false],
    [1, false],
    [0, true],
  ]);
  expect(of("none")).toEqual([[0, true]]);
  expect(of("one")).toEqual([[1, true]]);
  expect(of("bad")).toEqual([[0, true]]);
});

test("a client that leaves cancels all that runs", async () => {
  const { call, status, send } = open();
  for (let i = 0; i < 5; i += 1) send(int("sleep", String(i), 20_000));
  send(int("repeat", "r", 1_000_000));
  await until(() => plane.inHand === 6);
  call.cancel();
  expect((await status).code).toBe(grpc.status.CANCELLED);
  await until(() => plane.inHand === 0);
});

test("a stream does not take more in hand than it should, nor make more than is read", async () => {
  const { call, replies, status, send } = open();
  call.pause();
  for (let i = 0; i < 400; i += 1) send(int("sleep", String(i), 20));
  await until(() => plane.inHand > 0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(plane.most).toBeLessThanOrEqual(64);
  call.end();
  call.resume();
  expect((await status).code).toBe(0);
  expect(replies.map(({ inferResponse }) => inferResponse?.id)).toEqual(Array.from({ length: 400 }, (_, i) => String(i)));
});

test("a message that is none ends the stream with a status", async () => {
  const { call, status } = open();
  call.write(Buffer.from([255, 255, 255, 255]));
  expect(await status).toMatchObject({
    code: grpc.status.INTERNAL,
    details: "the request is not a valid message of type 'ModelInferRequest'",
  });
});

test("when the server stops, an idle stream ends, and what is in hand is answered", async () => {
  const own = new ModelGrpcServer({ plane, log: keepLog(), port: 0 });
  await own.start();
  using client = new Caller(own.url);
  const idle = open(client);
  const busy = open(client);
  idle.send(int("echo", "i", 1));
  busy.send(int("sleep", "b", 300));
  await until(() => idle.replies.length === 1 && plane.inHand === 1);
  const since = Date.now();
  await own.stop(5_000);
  expect(Date.now() - since).toBeLessThan(2_000);
  expect((await idle.status).code).toBe(0);
  expect((await busy.status).code).toBe(0);
  expect(busy.replies.map(({ inferResponse }) => inferResponse?.id)).toEqual(["b"]);
});
