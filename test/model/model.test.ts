import { describe, expect, expectTypeOf, test } from "vitest";
import { checkInputs, shapeFits } from "../../src/model/check-inputs.ts";
import { checkOutputs } from "../../src/model/check-outputs.ts";
import { singleArray, type Model } from "../../src/model/model.ts";
import { modelContract } from "../../src/testing/model-contract.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

/** A model in plain TypeScript that doubles `x`. */
function doubler(change: Partial<Model> = {}): Model & { closed: boolean } {
  const model = {
    name: "doubler",
    inputs: [{ name: "x", dataType: "FP32", shape: ["batch", 2] }],
    outputs: [{ name: "y", dataType: "FP32", shape: [-1, 2] }],
    closed: false,
    run(inputs, options) {
      options?.signal?.throwIfAborted();
      checkInputs(model, inputs);
      const x = inputs.x?.as("FP32");
      return x === undefined
        ? {}
        : {
            y: new Tensor(
              "FP32",
              x.shape,
              x.data.map((value) => 2 * value),
            ),
          };
    },
    close() {
      model.closed = true;
    },
    ...change,
  } satisfies Model & { closed: boolean } as Model & { closed: boolean };
  return model;
}

describe("singleArray", () => {
  test("takes one tensor and gives one, at once where the model does", async () => {
    const single = singleArray(doubler());
    expectTypeOf(single).toEqualTypeOf<Model<Tensor, Tensor>>();
    const result = single.run(Tensor.from("FP32", [[1, 2]]));
    expect(result).toBeInstanceOf(Tensor);
    expect((await result).toNested()).toEqual([[2, 4]]);
    const later = singleArray(doubler({ run: async ({ x }) => (x === undefined ? {} : { y: x }) }));
    expect((await later.run(Tensor.from("FP32", [[1, 2]]))).toNested()).toEqual([[1, 2]]);
  });

  test("passes signal and close on", async () => {
    const model = doubler();
    const single = singleArray(model);
    expect(() => single.run(Tensor.from("FP32", [[1, 2]]), { signal: AbortSignal.abort(new Error("gone")) })).toThrow("gone");
    await single.close();
    expect(model.closed).toBe(true);
  });

  test("refuses a model of more arrays, or of none, and names them", () => {
    const [y] = doubler().outputs;
    if (y === undefined) throw new Error("the model has no output");
    const two = doubler({ outputs: [y, { ...y, name: "z" }] });
    expect(() => singleArray(two)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining("'doubler' has 2 outputs ('y', 'z')") }),
    );
    expect(() => singleArray(doubler({ inputs: [] }))).toThrow("'doubler' has 0 inputs, and singleArray wants exactly one.");
  });

  test("says when the model keeps its output to itself", () => {
    expect(() => singleArray(doubler({ run: () => ({}) })).run(Tensor.from("FP32", [[1, 2]]))).toThrow(
      expect.objectContaining({ code: "invalid_output", message: "The model 'doubler' did not give its output 'y'." }),
    );
  });
});

describe("checkInputs", () => {
  const model = doubler();
  test.each([
    ["a missing name", {}, "The model 'doubler' wants the input 'x' (FP32 [batch, 2]), which is missing."],
    [
      "an unknown name",
      { x: Tensor.from("FP32", [[1, 2]]), z: Tensor.from("FP32", 1) },
      "The model 'doubler' has no input 'z'. It takes: 'x'.",
    ],
    ["a data type", { x: Tensor.from("FP64", [[1, 2]]) }, "The input 'x' of the model 'doubler' must be FP32 [batch, 2], not FP64 [1, 2]."],
    ["a rank", { x: Tensor.from("FP32", [1, 2]) }, "The input 'x' of the model 'doubler' must be FP32 [batch, 2], not FP32 [2]."],
    [
      "a fixed dimension",
      { x: Tensor.from("FP32", [[1]]) },
      "The input 'x' of the model 'doubler' must be FP32 [batch, 2], not FP32 [1, 1].",
    ],
  ])("refuses %s", (_, inputs, message) => {
    expect(() => checkInputs(model, inputs)).toThrow(expect.objectContaining({ code: "invalid_argument", message }));
  });

  test("refuses what is no tensor, and names that only the prototype has", () => {
    const raw = { x: new Float32Array(2) } as unknown as Record<string, Tensor>;
    expect(() => checkInputs(model, raw)).toThrow("The input 'x' of the model 'doubler' must be a Tensor of FP32 [batch, 2].");
    const named = { name: "m", inputs: [{ name: "toString", dataType: "FP32", shape: [1] }] } as const;
    expect(() => checkInputs(named, {})).toThrow("wants the input 'toString'");
  });

  test("takes any length where a dimension is free", () => {
    expect(shapeFits([7, 2], [-1, 2])).toBe(true);
    expect(shapeFits([7, 2], ["n", 2])).toBe(true);
    expect(shapeFits([0, 2], ["n", 2])).toBe(true);
    expect(shapeFits([7, 3], ["n", 2])).toBe(false);
  });
});

describe("the contract finds a model that", () => {
  const example = { x: Tensor.from("FP32", [[1, 2]]) };

  /** The names of the cases that a model fails. */
  async function failures(create: () => Model): Promise<string[]> {
    const failed: string[] = [];
    for (const { name, run, skip } of modelContract({ create, example, batches: true })) {
      if (skip !== undefined) continue;
      await run().catch(() => failed.push(name));
    }
    return failed;
  }
  const doubled = ({ x }: Readonly<Record<string, Tensor>>): Record<string, Tensor> =>
    doubler().run({ x: x ?? Tensor.from("FP32", 1) }) as Record<string, Tensor>;

  test("checks nothing", async () => {
    const careless = doubler({ run: ({ x }) => ({ y: x ?? Tensor.from("FP32", [[1, 2]]) }) });
    expect(await failures(() => careless)).toEqual([
      "refuses a missing input and names it",
      "refuses an input that it does not know and names it",
      "refuses an input of another data type and names it",
      "refuses an input with another number of dimensions and names it",
      "does not start a run whose signal is aborted",
      "can be closed twice, and refuses to run after",
    ]);
  });

  test("changes its inputs", async () => {
    const run: Model["run"] = (inputs) => {
      inputs.x?.as("FP32").data.fill(7);
      return doubled(inputs);
    };
    expect(await failures(() => doubler({ run }))).toContain("leaves its inputs as they were");
    expect([...example.x.data]).toEqual([1, 2]);
  });

  test("gives the same memory every time", async () => {
    const y = new Float32Array(2);
    let runs = 0;
    const run: Model["run"] = () => ({ y: new Tensor("FP32", [1, 2], y.fill(++runs)) });
    expect(await failures(() => doubler({ run }))).toContain("leaves the outputs of a run alone in the next ones");
  });

  test("gives other numbers every time, or for stacked rows", async () => {
    let runs = 0;
    const moody: Model["run"] = (inputs) => ({
      y: new Tensor("FP32", inputs.x?.shape ?? [], new Float32Array(inputs.x?.size ?? 0).fill(++runs)),
    });
    expect(await failures(() => doubler({ run: moody }))).toEqual(
      expect.arrayContaining([
        "gives the same for the same inputs, to several callers at once, too",
        "gives for stacked rows what it gives for each part alone",
      ]),
    );
  });

  test("gives another output than it told", async () => {
    const run: Model["run"] = (inputs) => ({ z: doubled(inputs).y ?? Tensor.from("FP32", 1) });
    expect(await failures(() => doubler({ run }))).toContain(
      "gives every output that it tells of, of that data type and shape, and no other",
    );
  });
});

describe("checkOutputs", () => {
  const gone = new Tensor("FP32", [1, 2], new Float32Array(2));
  structuredClone(gone.data, { transfer: [gone.data.buffer as ArrayBuffer] });

  test.each([
    [undefined, "The model 'm' must give tensors by name, such as { y: new Tensor(…) }; it gave nothing."],
    [5, "The model 'm' must give tensors by name, such as { y: new Tensor(…) }; it gave a Number."],
    [[gone], "The model 'm' must give tensors by name, such as { y: new Tensor(…) }; it gave a plain array."],
    [{ y: [1] }, "The model 'm' must give 'y' as a Tensor; it gave a plain array."],
    [{ y: null }, "The model 'm' must give 'y' as a Tensor; it gave nothing."],
    [{ y: gone }, "The model 'm' gave 'y' (FP32 [1, 2]) without its elements: their memory was handed over to somebody else."],
  ])("%#: says what is wrong", (outputs, message) => {
    expect(() => {
      checkOutputs({ name: "m" }, outputs);
    }).toThrow(expect.objectContaining({ code: "invalid_output", message }));
  });

  test("takes tensors, and none at all", () => {
    checkOutputs({ name: "m" }, { y: new Tensor("FP32", [1], Float32Array.of(1)) });
    checkOutputs({ name: "m" }, {});
  });
});
