/** Models with state, served: what a sequence is told of itself, what is kept between its requests, and what is refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { InferRequest, InferResponse } from "servable/server";
import { Tensor } from "../../src/tensor/tensor.ts";
import { writeOnnx } from "../support/onnx-writer.ts";
import { failureOf, requestOf, serveRepository, type RepositoryFiles, type Served } from "./support.ts";

/** Adds up what a sequence sends, and gives back what the server told it of the sequence. */
const accumulator = (rows: readonly string[]): Uint8Array =>
  writeOnnx({
    inputs: [
      { name: "x", dataType: "FP32", shape: [...rows, "n"] },
      { name: "sum_in", dataType: "FP32", shape: [...rows, "m"] },
      { name: "start", dataType: "FP32", shape: [...rows, 1] },
      { name: "end", dataType: "INT32", shape: [...rows, 1] },
      { name: "ready", dataType: "BOOL", shape: [...rows, 1] },
      { name: "id", dataType: "UINT64", shape: [...rows, 1] },
    ],
    outputs: [
      { name: "sum", dataType: "FP32", shape: [...rows, "n"] },
      { name: "sum_out", dataType: "FP32", shape: [...rows, "n"] },
      { name: "started", dataType: "FP32", shape: [...rows, 1] },
      { name: "ended", dataType: "INT32", shape: [...rows, 1] },
      { name: "was_ready", dataType: "BOOL", shape: [...rows, 1] },
      { name: "own_id", dataType: "UINT64", shape: [...rows, 1] },
    ],
    nodes: [
      { op: "Add", inputs: ["x", "sum_in"], outputs: ["sum"] },
      { op: "Identity", inputs: ["sum"], outputs: ["sum_out"] },
      { op: "Identity", inputs: ["start"], outputs: ["started"] },
      { op: "Identity", inputs: ["end"], outputs: ["ended"] },
      { op: "Identity", inputs: ["ready"], outputs: ["was_ready"] },
      { op: "Identity", inputs: ["id"], outputs: ["own_id"] },
    ],
  });
const controls = `
  control_input { name: "start" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ -1, 2 ] } }
  control_input { name: "end" control { kind: CONTROL_SEQUENCE_END int32_false_true: [ 3, 4 ] } }
  control_input { name: "ready" control { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } }
  control_input { name: "id" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }`;

interface Setting {
  readonly maxBatchSize?: number;
  readonly strategy?: string;
  readonly state?: string;
  readonly more?: string;
  readonly files?: RepositoryFiles;
}
const filesOf = ({ maxBatchSize = 4, strategy = "", state = "", more = "", files = {} }: Setting = {}): RepositoryFiles => ({
  "m/config.pbtxt": `backend: "onnxruntime" max_batch_size: ${maxBatchSize}
    input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
    output { name: "sum" data_type: TYPE_FP32 dims: [ -1 ] }
    output { name: "started" data_type: TYPE_FP32 dims: [ 1 ] }
    output { name: "ended" data_type: TYPE_INT32 dims: [ 1 ] }
    output { name: "was_ready" data_type: TYPE_BOOL dims: [ 1 ] }
    output { name: "own_id" data_type: TYPE_UINT64 dims: [ 1 ] }
    instance_group { count: 2 kind: KIND_CPU }
    sequence_batching { max_sequence_idle_microseconds: 60000000 ${strategy} ${controls}
      state { input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: [ -1 ] ${state} } } ${more}`,
  "m/1/model.onnx": accumulator(maxBatchSize > 0 ? ["batch"] : []),
  ...files,
});
const serve = (setting?: Setting): Promise<Served> => serveRepository(filesOf(setting));

interface Flags {
  readonly start?: boolean;
  readonly end?: boolean;
}
const requestFor = (id: number | bigint | string, numbers: readonly number[], flags: Flags, batched = true): Partial<InferRequest> => ({
  parameters: { sequence_id: id, sequence_start: flags.start ?? false, sequence_end: flags.end ?? false },
  inputs: [{ name: "x", dataType: "FP32", shape: batched ? [1, numbers.length] : [numbers.length], data: Float32Array.from(numbers) }],
});
const valuesOf = ({ outputs }: InferResponse, name = "sum"): readonly (number | bigint | string | Uint8Array)[] => [
  ...outputs.find((output) => output.name === name)!.data,
];
const send = async (
  { infer }: Served,
  id: number | bigint | string,
  number: number,
  flags: Flags = {},
): Promise<number | bigint | string | Uint8Array> => valuesOf(await infer("m", requestFor(id, [number], flags)))[0]!;

describe("a sequence", () => {
  test("adds up its own numbers only, whatever shares its batches and instances", async () => {
    const settings: Setting[] = [
      { strategy: "direct { }" },
      { strategy: "oldest { max_candidate_sequences: 2 preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 1000 }" },
      { strategy: "oldest { max_candidate_sequences: 8 preserve_ordering: true }" },
      { maxBatchSize: 0 },
    ];
    for (const setting of settings) {
      await using served = await serve(setting);
      const batched = setting.maxBatchSize !== 0;
      const numbers = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 1, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(fc.array(numbers, { minLength: 1, maxLength: 20 }), fc.infiniteStream(fc.nat()), async (sequences, picks) => {
          // Requests of each sequence are in order, and not one of them waits for an answer.
          const left = sequences.map((own, index) => ({ id: index + 1, own, next: 0, sums: [] as Promise<unknown>[] }));
          for (let open = left; open.length > 0; open = left.filter(({ next, own }) => next < own.length)) {
            const one = open[picks.next().value! % open.length]!;
            const flags = { start: one.next === 0, end: one.next === one.own.length - 1 };
            const answer = served.infer("m", requestFor(one.id, [one.own[one.next]!], flags, batched));
            one.sums.push(answer.then((response) => [valuesOf(response)[0], valuesOf(response, "own_id")[0]]));
            one.next += 1;
          }
          for (const { id, own, sums } of left) {
            let sum = 0;
            expect(await Promise.all(sums)).toEqual(own.map((number) => [(sum += number), BigInt(id)]));
          }
        }),
        { numRuns: 15 },
      );
      expect(served.server.reports()[0]).toMatchObject({ pending: 0, failures: { BACKEND: 0, OTHER: 0 } });
    }
  });

  test("tells the model where it is, and the client no state that is no output", async () => {
    await using served = await serve();
    const seen: unknown[] = [];
    const all: Flags[] = [{ start: true }, {}, { end: true }, { start: true, end: true }];
    for (const flags of all) {
      const response = await served.infer("m", requestFor(7, [1], flags));
      seen.push(["sum", "started", "ended", "was_ready"].map((name) => valuesOf(response, name)[0]));
      expect(response.outputs.map(({ name }) => name)).toEqual(["sum", "started", "ended", "was_ready", "own_id"]);
    }
    expect(seen).toEqual([
      [1, 2, 3, 1],
      [2, -1, 3, 1],
      [3, -1, 4, 1],
      [1, 2, 4, 1],
    ]);
  });

  test("has its own batches with others of the same shapes only", async () => {
    await using served = await serve({ strategy: "oldest { max_queue_delay_microseconds: 100000 }" });
    const starts = [1, 2, 3].map((id) => served.infer("m", requestFor(id, id === 3 ? [1, 2] : [1], { start: true })));
    await Promise.all(starts);
    const sizes = (): readonly number[][] =>
      served.server.statistics("m", "1")[0]!.batch_stats.map(({ batch_size, compute_infer }) => [batch_size, compute_infer.count]);
    expect(sizes()).toEqual([
      [1, 1],
      [2, 1],
    ]);
    // The third one's state has another shape by now, which the request alone does not show.
    const broadcast = [1, 2, 3].map((id) => served.infer("m", requestFor(id, [10], {})));
    expect((await Promise.all(broadcast)).map((response) => valuesOf(response))).toEqual([[11], [11], [11, 12]]);
    expect(sizes()).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  test("begins anew with another start, and is over with its end", async () => {
    await using served = await serve();
    expect(await send(served, 5, 1, { start: true })).toBe(1);
    expect(await send(served, 5, 2)).toBe(3);
    expect(await send(served, 5, 10, { start: true })).toBe(10);
    expect(await send(served, 5, 1, { end: true })).toBe(11);
    expect(await failureOf(send(served, 5, 1))).toEqual({
      status: "INVALID_ARG",
      message: "inference request for sequence 5 to model 'm' must specify the START flag on the first request of the sequence",
    });
  });

  test("goes on as it was when a request fails", async () => {
    await using served = await serve({ strategy: "oldest { max_queue_delay_microseconds: 20000 }" });
    await served.infer("m", requestFor(1, [1, 2], { start: true }));
    await served.infer("m", requestFor(2, [5, 6], { start: true }));
    const failing = served.infer("m", requestFor(1, [1, 2, 3], {}));
    const sound = served.infer("m", requestFor(2, [1, 1], {}));
    const after = served.infer("m", requestFor(1, [10, 20], {}));
    expect((await failureOf(failing)).status).toBe("service_failed");
    expect(valuesOf(await sound)).toEqual([6, 7]);
    expect(valuesOf(await after)).toEqual([11, 22]);
    expect(served.server.reports()[0]!.failures).toMatchObject({ BACKEND: 1 });
  });

  test("may be named by a text, by a big number, and is another one by another type", async () => {
    const files = filesOf();
    const text = String(files["m/config.pbtxt"]).replace(/control_input \{ name: "id".*/, "");
    const noId = writeOnnx({
      inputs: ["x", "sum_in"].map((name) => ({ name, dataType: "FP32" as const, shape: ["batch", "n"] })),
      outputs: ["sum", "sum_out"].map((name) => ({ name, dataType: "FP32" as const, shape: ["batch", "n"] })),
      nodes: [
        { op: "Add", inputs: ["x", "sum_in"], outputs: ["sum"] },
        { op: "Identity", inputs: ["sum"], outputs: ["sum_out"] },
      ],
    });
    const plain = text.replace(/control_input .*\n/g, "").replace(/output \{ name: "(started|ended|was_ready|own_id)".*\n/g, "");
    await using served = await serveRepository({
      ...files,
      "plain/config.pbtxt": `${plain}\n`,
      "plain/1/model.onnx": noId,
    });
    const sum = async (id: number | bigint | string, number: number, flags: Flags = {}): Promise<unknown> =>
      valuesOf(await served.infer("plain", requestFor(id, [number], flags)))[0];
    expect(await sum("5", 1, { start: true })).toBe(1);
    expect(await sum(5, 10, { start: true })).toBe(10);
    expect(await sum(2n ** 64n - 1n, 100, { start: true })).toBe(100);
    expect(await sum("5", 1)).toBe(2);
    expect(await sum(5n, 10)).toBe(20);
    // What a signed integer of gRPC is.
    expect(await sum(-1, 100)).toBe(200);
    // This one tells its model the id.
    expect(valuesOf(await served.infer("m", requestFor(2n ** 64n - 1n, [1], { start: true })), "own_id")).toEqual([2n ** 64n - 1n]);
    expect((await failureOf(served.infer("m", requestFor("five", [1], { start: true })))).message).toBe(
      "inference request for sequence five to model 'm' must have an integer as its correlation ID: the model takes it as UINT64",
    );
  });

  test("is refused without an id, with one of another kind, with two rows", async () => {
    await using served = await serve();
    const unnamed = "inference request to model 'm' must specify a non-zero or non-empty correlation ID";
    const none: Partial<InferRequest> = { ...requestFor(1, [1], { start: true }), parameters: { sequence_start: true } };
    expect(await failureOf(served.infer("m", none))).toEqual({ status: "INVALID_ARG", message: unnamed });
    for (const id of [0, 0n, ""]) expect((await failureOf(send(served, id, 1, { start: true }))).message).toBe(unnamed);
    for (const parameters of [{ sequence_id: 1.5 }, { sequence_id: true }, { sequence_id: 1, sequence_start: "yes" }]) {
      expect((await failureOf(served.infer("m", { ...none, parameters }))).status).toBe("INVALID_ARG");
    }
    const rows = { inputs: [{ name: "x", dataType: "FP32", shape: [2, 1], data: new Float32Array(2) }] };
    expect(await failureOf(served.infer("m", { ...requestFor(1, [1], { start: true }), ...rows }))).toEqual({
      status: "INVALID_ARG",
      message: "inference request to model 'm' must specify batch-size 1 due to requirements of sequence batcher",
    });
    const sneaked = { name: "start", dataType: "FP32", shape: [1, 1], data: new Float32Array(1) };
    const { inputs = [] } = requestFor(1, [1], {});
    expect((await failureOf(served.infer("m", { ...requestFor(1, [1], { start: true }), inputs: [...inputs, sneaked] }))).status).toBe(
      "INVALID_ARG",
    );
    expect(served.server.statistics("m", "1")[0]!.inference_stats.fail.count).toBe(0);
  });

  test("waits for a slot while others have them all", async () => {
    await using served = await serve({ strategy: "oldest { max_candidate_sequences: 1 }" });
    await send(served, 1, 1, { start: true });
    await send(served, 2, 1, { start: true });
    const order: number[] = [];
    const third = [send(served, 3, 1, { start: true }), send(served, 3, 2, { end: true })].map((sum) => sum.then(() => order.push(3)));
    const fourth = send(served, 4, 4, { start: true, end: true }).then(() => order.push(4));
    await send(served, 1, 1);
    expect(served.server.reports()[0]!.pending).toBe(3);
    expect(order).toEqual([]);
    await send(served, 1, 1, { end: true });
    await Promise.all([...third, fourth]);
    expect(order).toEqual([3, 3, 4]);
  });

  test("ends with its model, which answers what it has first", async () => {
    const explicit = { control: "explicit", loadModels: ["*"] } as const;
    await using served = await serveRepository(filesOf({ strategy: "oldest { max_candidate_sequences: 1 }" }), explicit);
    await send(served, 1, 1, { start: true });
    await send(served, 2, 1, { start: true });
    // No slot is free, and no request will come that frees one.
    const waiting = [send(served, 3, 30, { start: true }), send(served, 3, 3), send(served, 4, 4, { start: true })];
    const since = performance.now();
    await served.server.unload("", "m", false);
    expect(await Promise.all(waiting)).toEqual([30, 33, 4]);
    expect(performance.now() - since).toBeLessThan(5_000);
  });

  test("of a client that went away ends where it was", async () => {
    await using served = await serve({ strategy: "oldest { max_candidate_sequences: 1 }" });
    const first = send(served, 1, 1, { start: true });
    const admission = served.server.model("m", "").admit({});
    const failures = [failureOf(admission.infer(requestOf("m", requestFor(1, [2], {})))), failureOf(send(served, 1, 4))];
    admission.cancel();
    expect(await first).toBe(1);
    expect((await Promise.all(failures)).map(({ status }) => status)).toEqual(["cancelled", "CANCELLED"]);
    expect((await failureOf(send(served, 1, 8))).message).toContain("START");
  });
});

const expectUnavailable = async (files: RepositoryFiles, text: string): Promise<void> => {
  await using served = await serveRepository(files, { exitOnError: false });
  expect(await served.server.index("", false)).toMatchObject([{ state: "UNAVAILABLE", reason: expect.stringContaining(text) as string }]);
};

describe("states", () => {
  test("begin as a file says", async () => {
    const initial = new Uint8Array(Float32Array.of(100, 200).buffer);
    const state = 'initial_state { name: "hundreds" data_type: TYPE_FP32 dims: [ 2 ] data_file: "hundreds" }';
    await using served = await serve({ state, files: { "m/initial_state/hundreds": initial } });
    expect(valuesOf(await served.infer("m", requestFor(1, [1, 2], { start: true })))).toEqual([101, 202]);
    expect(valuesOf(await served.infer("m", requestFor(2, [1, 2], { start: true })))).toEqual([101, 202]);
    expect(valuesOf(await served.infer("m", requestFor(1, [1, 2], {})))).toEqual([102, 204]);
  });

  test("must be what the file, the model and the folder have", async () => {
    const file = (name: string): string => `initial_state { name: "s" data_type: TYPE_FP32 dims: [ 2 ] data_file: "${name}" }`;
    const cases: readonly (readonly [Setting, string])[] = [
      [
        { state: file("short"), files: { "m/initial_state/short": new Uint8Array(7) } },
        "initial_state setting expects 8 bytes, but the data provided from short only has 7 bytes",
      ],
      [{ state: file("none") }, "the data file 'none' of the initial state 'sum_in' is not there"],
      [{ state: file("../config.pbtxt") }, "must be a relative path that stays in the model's folder initial_state"],
      [{ strategy: "iterative_sequence: true" }, "iterative_sequence"],
    ];
    for (const [setting, text] of cases) await expectUnavailable(filesOf(setting), text);
    const changes = [
      ['"sum_out"', '"sum_away"', "the model has no tensor 'sum_away' for its state output"],
      ['"sum_out" data_type: TYPE_FP32', '"sum_out" data_type: TYPE_FP64', "'sum_in' is FP64, and the model's is FP32"],
      ["fp32_false_true: [ -1, 2 ]", "int32_false_true: [ -1, 2 ]", "control_input 'start' is INT32, and the model's is FP32"],
      ["data_type: TYPE_UINT64 }", "data_type: TYPE_STRING }", "control_input 'id' is BYTES, and the model's is UINT64"],
      ["data_type: TYPE_FP32 dims: [ -1 ]  }", "data_type: TYPE_FP32 dims: [ 1, 1 ] }", "is [1, 1, 1], and the model's is [-1, -1]"],
    ] as const;
    const files = filesOf();
    for (const [from, to, text] of changes) {
      const config = String(files["m/config.pbtxt"]);
      expect(config).toContain(from);
      await expectUnavailable({ ...files, "m/config.pbtxt": config.replace(from, to) }, text);
    }
  });

  test("may be texts, and outputs as well", async () => {
    const last = writeOnnx({
      inputs: ["now", "before"].map((name) => ({ name, dataType: "BYTES" as const, shape: [1] })),
      outputs: ["was", "is"].map((name) => ({ name, dataType: "BYTES" as const, shape: [1] })),
      nodes: [
        { op: "Identity", inputs: ["before"], outputs: ["was"] },
        { op: "Identity", inputs: ["now"], outputs: ["is"] },
      ],
    });
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "onnxruntime"
        input { name: "now" data_type: TYPE_STRING dims: [ 1 ] }
        output { name: "was" data_type: TYPE_STRING dims: [ 1 ] } output { name: "is" data_type: TYPE_STRING dims: [ 1 ] }
        sequence_batching { state { input_name: "before" output_name: "is" data_type: TYPE_STRING dims: [ 1 ] } }`,
      "m/1/model.onnx": last,
    });
    const seen: unknown[] = [];
    for (const [index, text] of ["one", "two", "three"].entries()) {
      const response = await served.infer("m", {
        parameters: { sequence_id: "s", sequence_start: index === 0 },
        inputs: [{ name: "now", dataType: "BYTES", shape: [1], data: [text] }],
      });
      seen.push([valuesOf(response, "was")[0], valuesOf(response, "is")[0]]);
    }
    expect(seen).toEqual([
      ["", "one"],
      ["one", "two"],
      ["two", "three"],
    ]);
  });

  test("are part of a warm-up", async () => {
    const warmup = `model_warmup { name: "w" batch_size: 2 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } } }`;
    await using served = await serve({ more: warmup });
    expect(await send(served, 1, 1, { start: true })).toBe(1);
  });

  test("of a model without batches may be scalars", async () => {
    const count = writeOnnx({
      inputs: [
        { name: "x", dataType: "FP32", shape: [1] },
        { name: "before", dataType: "FP32", shape: [] },
        { name: "start", dataType: "INT32", shape: [] },
      ],
      outputs: [
        { name: "y", dataType: "FP32", shape: [1] },
        { name: "after", dataType: "FP32", shape: [] },
        { name: "flag", dataType: "INT32", shape: [] },
      ],
      nodes: [
        { op: "Add", inputs: ["x", "before"], outputs: ["y"] },
        { op: "Add", inputs: ["before", "one"], outputs: ["after"] },
        { op: "Identity", inputs: ["start"], outputs: ["flag"] },
      ],
      initializers: { one: new Tensor("FP32", [], Float32Array.of(1)) },
    });
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "onnxruntime" input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
        sequence_batching { control_input { name: "start" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
          state { input_name: "before" output_name: "after" data_type: TYPE_FP32 dims: [ 1 ] } }`,
      "m/1/model.onnx": count,
    });
    const sums: unknown[] = [];
    for (const start of [true, false, false]) {
      sums.push(valuesOf(await served.infer("m", requestFor(1, [10], { start }, false)), "y")[0]);
    }
    expect(sums).toEqual([10, 11, 12]);
  });
});
