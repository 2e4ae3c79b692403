import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { ServableError } from "../../src/errors.ts";
import { allowBlocking, markIoThread, unmarkIoThread } from "../../src/model/io-thread.ts";
import { singleArray } from "../../src/model/model.ts";
import { loadOnnxModel } from "../../src/model/onnx/load-onnx-model.ts";
import type { OnnxModel } from "../../src/model/onnx/onnx-model.ts";
import { modelContract } from "../../src/testing/model-contract.ts";
import { dataTypes } from "../../src/tensor/data-type.ts";
import { tensor, Tensor } from "../../src/tensor/tensor.ts";
import { float, identityModel, writeOnnx } from "../support/onnx-writer.ts";
import { anyTensor } from "../support/tensors.ts";

const open: OnnxModel[] = [];
async function load(...parameters: Parameters<typeof loadOnnxModel>): Promise<OnnxModel> {
  const model = await loadOnnxModel(...parameters);
  open.push(model);
  return model;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((model) => model.close()));
});

const failure = (code: string, message: unknown): unknown => expect.objectContaining({ code, message });

/** x [batch, 2] times a matrix, through Relu and Softmax; and the sum of x and a constant. */
const network = writeOnnx({
  inputs: [
    { name: "x", dataType: "FP32", shape: ["batch", 2] },
    { name: "z", dataType: "FP32", shape: ["batch", 3] },
  ],
  outputs: [
    { name: "scores", dataType: "FP32", shape: ["batch", 3] },
    { name: "sum", dataType: "FP32", shape: ["batch", 2] },
  ],
  nodes: [
    { op: "Gemm", inputs: ["x", "weights", "bias"], outputs: ["linear"], attributes: { alpha: float(1) } },
    { op: "Relu", inputs: ["linear"], outputs: ["positive"] },
    { op: "Add", inputs: ["positive", "z"], outputs: ["shifted"] },
    { op: "Softmax", inputs: ["shifted"], outputs: ["scores"], attributes: { axis: -1 } },
    { op: "Add", inputs: ["x", "offset"], outputs: ["sum"] },
  ],
  initializers: {
    weights: Tensor.from("FP32", [
      [1, 0, -1],
      [0, 1, 0],
    ]),
    bias: Tensor.from("FP32", [0, 0, 0.5]),
    offset: Tensor.from("FP32", [10, 20]),
  },
});

describe("for whom it runs", () => {
  const x = Tensor.from("FP32", [[1, 2]]);
  const z = Tensor.from("FP32", [[0, 0, 0]]);

  test("a run whose caller went away never starts", async () => {
    const model = await load(network);
    const aborter = new AbortController();
    const context = { signal: aborter.signal, deadline: Infinity };
    const [first, second] = [model.run({ x, z }, { context }), model.run({ x, z }, { context })];
    void first.then(() => {
      aborter.abort(new ServableError("cancelled", "Gone."));
    });
    await first;
    await expect(second).rejects.toMatchObject({ code: "cancelled", message: "Gone." });
  });

  test("a run whose time is over never starts, though no timer could say so", async () => {
    const model = await load(network);
    const { signal } = new AbortController();
    await expect(model.run({ x, z }, { context: { signal, deadline: Date.now() - 1 } })).rejects.toEqual(
      failure("deadline_exceeded", expect.stringContaining("before the model")),
    );
    await expect(model.run({ x, z }, { context: { signal, deadline: Date.now() + 60_000 } })).resolves.toHaveProperty("scores");
  });
});

test("runs a network of several inputs, outputs and constants", async () => {
  const model = await load(network);
  const x = Tensor.from("FP32", [
    [1, 2],
    [-3, 0],
  ]);
  const outputs = await model.run({
    x,
    z: Tensor.from("FP32", [
      [0, 0, 0],
      [0, 0, 0],
    ]),
  });
  expect(outputs.sum?.toNested()).toEqual([
    [11, 22],
    [7, 20],
  ]);
  const softmax = (row: readonly number[]): number[] =>
    row.map((value) => Math.exp(value) / row.reduce((sum, other) => sum + Math.exp(other), 0));
  const expected = [...softmax([1, 2, 0]), ...softmax([0, 0, 3.5])];
  for (const [index, score] of [...(outputs.scores?.as("FP32").data ?? [])].entries()) expect(score).toBeCloseTo(expected[index] ?? NaN, 5);
  expect(outputs.scores?.size).toBe(6);
});

describe.each(dataTypes.filter((dataType) => dataType !== "BF16"))("%s", (dataType) => {
  test("goes through a model unchanged, rows of none and scalars too", async () => {
    const model = await load(identityModel(dataType));
    const scalars = singleArray(await load(identityModel(dataType, [])));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(3).chain((rows) => anyTensor(dataType, [rows, 2])),
        anyTensor(dataType, []),
        async (original, scalar) => {
          for (const [given, runner] of [
            [original, singleArray(model)],
            [scalar, scalars],
          ] as const) {
            // onnxruntime knows only text, which it takes up to the first NUL; what is not text is refused, as the next test says.
            if (!isText(given)) return;
            const result = await runner.run(given);
            expect(result.toString()).toBe(given.toString());
            expect(result.toNested()).toEqual(asText(given).toNested());
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

function isText({ dataType, data }: Tensor): boolean {
  if (dataType !== "BYTES") return true;
  return [...data].every((element) => {
    const bytes = Buffer.from(element as string);
    return Buffer.from(bytes.toString()).equals(bytes) && !bytes.includes(0);
  });
}

function asText(given: Tensor): Tensor {
  if (given.dataType !== "BYTES") return given;
  return tensor(
    "BYTES",
    given.shape,
    given.as("BYTES").data.map((element) => Buffer.from(element as string).toString()),
  );
}

describe("inputs", () => {
  test("are used where they are: memory that changes before the run starts is seen by it", async () => {
    const model = singleArray(await load(identityModel("FP32")));
    const data = new Float32Array([0, 1, 2, 3]).subarray(2);
    const run = model.run(tensor("FP32", [1, 2], data));
    data[0] = 9;
    expect((await run).toNested()).toEqual([[9, 3]]);
    expect(data.buffer.byteLength).toBe(16);
  });

  test("in shared memory are copied, which onnxruntime would refuse", async () => {
    const model = singleArray(await load(identityModel("INT32")));
    const data = new Int32Array(new SharedArrayBuffer(8));
    data.set([5, 6]);
    expect((await model.run(tensor("INT32", [1, 2], data))).toNested()).toEqual([[5, 6]]);
  });

  test("of BYTES that are not text are refused by their place", async () => {
    const model = await load(identityModel("BYTES"));
    const x = tensor("BYTES", [1, 2], ["fine", new Uint8Array([0xff])]);
    await expect(model.run({ x })).rejects.toThrow(
      failure("invalid_argument", expect.stringContaining("Element 1 of the input 'x' is not UTF-8 text")),
    );
  });

  test("are checked before the run", async () => {
    const model = await load(network, { name: "net" });
    const z = Tensor.from("FP32", [[0, 0, 0]]);
    await expect(model.run({ z })).rejects.toThrow(
      failure("invalid_argument", "The model 'net' wants the input 'x' (FP32 [batch, 2]), which is missing."),
    );
    await expect(model.run({ z, x: Tensor.from("FP32", [[1, 2, 3]]) })).rejects.toThrow(
      failure("invalid_argument", "The input 'x' of the model 'net' must be FP32 [batch, 2], not FP32 [1, 3]."),
    );
  });

  test("that pass the check but not the model fail in one line, with the cause kept", async () => {
    const model = await load(network, { name: "net" });
    const x = Tensor.from("FP32", [
      [1, 2],
      [3, 4],
    ]);
    const error: unknown = await model
      .run({
        x,
        z: Tensor.from("FP32", [
          [0, 0, 0],
          [0, 0, 0],
          [0, 0, 0],
        ]),
      })
      .catch((thrown: unknown) => thrown);
    expect(error).toEqual(failure("service_failed", expect.stringMatching(/^The model 'net' failed: .*2 by 3\.$/)));
    expect(error).toHaveProperty("cause", expect.any(Error));
    expect((error as Error).message).not.toMatch(/onnxruntime_src|\n/);
    // The model is none the worse for it.
    expect(
      await model.run({
        x,
        z: Tensor.from("FP32", [
          [0, 0, 0],
          [0, 0, 0],
        ]),
      }),
    ).toHaveProperty("scores");
  });
});

describe("runs", () => {
  test("asked for together take turns, so that one aborted meanwhile never starts", async () => {
    const model = await load(identityModel("FP32"));
    const controller = new AbortController();
    const x = Tensor.from("FP32", [[1, 2]]);
    const first = model.run({ x });
    const second = model.run({ x }, { signal: controller.signal });
    const third = model.run({ x });
    // As news from outside comes: not before the thread has looked there, which it can't while the first run blocks it.
    const abort = first.then(() => nextTurn()).then(() => controller.abort(new ServableError("deadline_exceeded", "Too late.")));
    await expect(second).rejects.toThrow(failure("deadline_exceeded", "Too late."));
    await abort;
    expect((await third).y?.toNested()).toEqual([[1, 2]]);
  });

  test("aborted for a reason of the caller's are cancelled, with that as the cause", async () => {
    const model = await load(identityModel("FP32"), { name: "m" });
    const reason = new Error("gone");
    const error: unknown = await model
      .run({ x: Tensor.from("FP32", [[1, 2]]) }, { signal: AbortSignal.abort(reason) })
      .catch((thrown: unknown) => thrown);
    expect(error).toEqual(failure("cancelled", "The run of the model 'm' was cancelled before it started."));
    expect(error).toHaveProperty("cause", reason);
  });

  test("in flight are finished before close resolves", async () => {
    const model = await load(identityModel("FP32"));
    const x = Tensor.from("FP32", [[1, 2]]);
    const order: string[] = [];
    const runs = [model.run({ x }), model.run({ x })].map((run, index) => run.then(() => order.push(`run ${index}`)));
    const closed = model.close().then(() => order.push("closed"));
    await expect(model.run({ x })).rejects.toThrow(failure("unavailable", expect.stringContaining("is closed")));
    await Promise.all([...runs, closed]);
    expect(order).toEqual(["run 0", "run 1", "closed"]);
  });
});

describe("on a thread that does I/O", () => {
  afterEach(() => unmarkIoThread());

  test("neither loading nor running is done, unless it is allowed", async () => {
    const model = await load(identityModel("FP32"), { name: "m" });
    const x = Tensor.from("FP32", [[1, 2]]);
    markIoThread();
    await expect(load(identityModel("FP32"), { name: "n" })).rejects.toThrow(
      failure("invalid_config", expect.stringMatching(/^Loading the model 'n' would block/)),
    );
    await expect(model.run({ x })).rejects.toThrow(failure("invalid_config", expect.stringMatching(/^Running the model 'm' would block/)));
    await allowBlocking(async () => {
      await nextTurn();
      const inside = await load(identityModel("FP32"));
      expect(await inside.run({ x })).toHaveProperty("y");
    });
  });
});

describe("the contract of models", () => {
  const example = {
    x: Tensor.from("FP32", [
      [1, 2],
      [3, 4],
    ]),
    z: Tensor.from("FP32", [
      [1, 0, 0],
      [0, 1, 0],
    ]),
  };
  for (const { name, run, skip } of modelContract({ create: () => loadOnnxModel(network), example, batches: true })) {
    test.skipIf(skip !== undefined)(name, run);
  }
});
