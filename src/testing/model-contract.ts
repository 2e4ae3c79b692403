import assert from "node:assert/strict";
import { messageOf, ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { formatSpec, shapeFits } from "../model/check-inputs.ts";
import type { Model, TensorSpec } from "../model/model.ts";
import { isDataType, type DataType } from "../tensor/data-type.ts";
import { mapArrays, type NamedArrays } from "../tensor/named-arrays.ts";
import { canStackNamed, rowsOf, splitNamed, stackNamed } from "../tensor/stack.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ContractCase } from "./contract.ts";

/** What the contract of models needs to try one. */
export interface ModelContractOptions {
  /** Loads the model anew; each case closes the one that it made. */
  create(): Model | Promise<Model>;
  /** Inputs that the model takes. */
  readonly example: NamedArrays;
  /** Whether the rows (axis 0) of the example are worked on each for itself, so that requests can be batched. @default false */
  readonly batches?: boolean | undefined;
  /** How far apart numbers may be and still count as equal, as a part of the larger of the two and 1. @default 1e-5 */
  readonly tolerance?: number | undefined;
}

const keys = { create: "needed", example: "needed", batches: true, tolerance: true } satisfies KeysOf<ModelContractOptions>;

/**
 * What every `Model` must do, as cases for any test runner.
 *
 * @example
 * ```ts
 * import { test } from "vitest";
 * import { Tensor } from "servable";
 * import { loadOnnxModel } from "servable/onnx";
 * import { modelContract } from "servable/testing";
 *
 * const example = { x: Tensor.from("FP32", [[1, 2]]) };
 * for (const { name, run, skip } of modelContract({ create: () => loadOnnxModel("./add.onnx"), example })) {
 *   test.skipIf(skip !== undefined)(name, run);
 * }
 * ```
 */
export function modelContract(options: ModelContractOptions): readonly ContractCase[] {
  refuseUnknownKeys(options, keys, "modelContract");
  // Copied now, and again for each case, so that a model that writes into its inputs spoils no other case.
  const pristine = copyOf(options.example);
  const tolerance = options.tolerance ?? 1e-5;
  const withModel = (check: (model: Model, example: NamedArrays) => unknown) => async (): Promise<void> => {
    const model = await options.create();
    try {
      await check(model, copyOf(pristine));
    } finally {
      await model.close();
    }
  };
  const [firstName = "", firstArray] = Object.entries(pristine)[0] ?? [];
  const noInputs = firstArray === undefined ? { skip: "the model takes no inputs" } : {};

  return [
    {
      name: "tells its name, its inputs and its outputs",
      run: withModel((model, example) => {
        assert.notEqual(model.name, "", "the model's name is empty");
        checkSpecs("inputs", model.inputs);
        checkSpecs("outputs", model.outputs);
        assert.ok(model.outputs.length > 0, "the model has no outputs");
        checkArrays("input", model.inputs, example);
      }),
    },
    {
      name: "gives every output that it tells of, of that data type and shape, and no other",
      run: withModel(async (model, example) => checkArrays("output", model.outputs, await model.run(example))),
    },
    {
      name: "gives the same for the same inputs, to several callers at once, too",
      run: withModel(async (model, example) => {
        const first = await model.run(example);
        const others = await Promise.all([1, 2, 3, 4].map(async () => model.run(example)));
        for (const other of others) assertClose(other, first, tolerance);
      }),
    },
    {
      name: "leaves its inputs as they were",
      run: withModel(async (model, example) => {
        const before = copyOf(example);
        await model.run(example);
        assertClose(example, before, 0);
      }),
    },
    {
      name: "leaves the outputs of a run alone in the next ones",
      run: withModel(async (model, example) => {
        const outputs = await model.run(example);
        const before = copyOf(outputs);
        await model.run(copyOf(example));
        assertClose(outputs, before, 0);
      }),
    },
    {
      name: "refuses a missing input and names it",
      ...noInputs,
      run: withModel((model, example) => {
        const others = Object.fromEntries(Object.entries(example).filter(([name]) => name !== firstName));
        return assertRefuses(model, others, firstName);
      }),
    },
    {
      name: "refuses an input that it does not know and names it",
      run: withModel((model, example) => assertRefuses(model, { ...example, "no such input": Tensor.from("FP32", [1]) }, "no such input")),
    },
    {
      name: "refuses an input of another data type and names it",
      ...noInputs,
      run: withModel((model, example) => assertRefuses(model, { ...example, [firstName]: otherType(firstArray) }, firstName)),
    },
    {
      name: "refuses an input with another number of dimensions and names it",
      ...noInputs,
      run: withModel(async (model, example) => {
        if (firstArray === undefined) return;
        const deeper = new Tensor(firstArray.dataType, [1, ...firstArray.shape], firstArray.data);
        await assertRefuses(model, { ...example, [firstName]: deeper }, firstName);
      }),
    },
    {
      name: "does not start a run whose signal is aborted",
      run: withModel((model, example) => {
        const reason = new ServableError("deadline_exceeded", "Too late.");
        return assertRejects(() => model.run(example, { signal: AbortSignal.abort(reason) }), ["deadline_exceeded", "cancelled"]);
      }),
    },
    {
      name: "finishes the runs in flight before it closes",
      run: withModel(async (model, example) => {
        const run = Promise.resolve(model.run(example));
        const [outputs] = await Promise.all([run, model.close()]);
        checkArrays("output", model.outputs, outputs);
      }),
    },
    {
      name: "can be closed twice, and refuses to run after",
      run: withModel(async (model, example) => {
        await model.close();
        await model.close();
        await assertRejects(() => model.run(example), ["unavailable"]);
      }),
    },
    {
      name: "gives for stacked rows what it gives for each part alone",
      ...(options.batches === true ? {} : { skip: "the model does not say that it batches" }),
      run: withModel(async (model, example) => {
        const rows = rowsOf(example);
        const alone = await model.run(example);
        const together = await model.run(stackNamed([example, copyOf(example)]));
        for (const part of splitNamed(together, [rows, rows])) {
          assert.ok(canStackNamed(part, alone), "the outputs of stacked rows have other shapes than those of the rows alone");
          assertClose(part, alone, tolerance);
        }
      }),
    },
  ];
}

function checkSpecs(side: string, specs: readonly TensorSpec[]): void {
  const names = specs.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, `two ${side} have one name: ${names.join(", ")}`);
  for (const { name, dataType, shape } of specs) {
    assert.notEqual(name, "", `a name among the ${side} is empty`);
    assert.ok(isDataType(dataType), `${side}: '${name}' has the unknown data type ${dataType}`);
    for (const length of shape) {
      const sound = typeof length === "string" ? length !== "" : Number.isSafeInteger(length) && length >= -1;
      assert.ok(sound, `${side}: '${name}' has a dimension that is neither a length, a name nor -1: ${length}`);
    }
  }
}

function checkArrays(side: string, specs: readonly TensorSpec[], arrays: NamedArrays): void {
  assert.deepEqual(Object.keys(arrays).sort(), specs.map(({ name }) => name).sort(), `the names of the ${side}s`);
  for (const spec of specs) {
    const array = arrays[spec.name];
    assert.ok(Tensor.isTensor(array), `the ${side} '${spec.name}' is not a Tensor`);
    const fits = array.dataType === spec.dataType && shapeFits(array.shape, spec.shape);
    assert.ok(fits, `the ${side} '${spec.name}' is ${array.toString()} and should be ${formatSpec(spec)}`);
  }
}

function copyOf(arrays: NamedArrays): NamedArrays {
  return mapArrays(arrays, ({ dataType, shape, data }) => new Tensor(dataType, shape, data.slice()));
}

function otherType(array: Tensor | undefined): Tensor {
  const dataType: DataType = array?.dataType === "FP64" ? "INT8" : "FP64";
  const data = dataType === "FP64" ? new Float64Array(array?.size ?? 0) : new Int8Array(array?.size ?? 0);
  return new Tensor(dataType, array?.shape ?? [], data);
}

function assertClose(actual: NamedArrays, expected: NamedArrays, tolerance: number): void {
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort());
  for (const [name, array] of Object.entries(actual)) {
    const other = expected[name];
    assert.equal(array.toString(), other?.toString(), `'${name}' is of another data type or shape`);
    const got = flatten(array);
    const wanted = other === undefined ? [] : flatten(other);
    for (const [index, value] of got.entries()) {
      const target = wanted[index];
      const equal =
        typeof value === "number" && typeof target === "number" ? isClose(value, target, tolerance) : sameElement(value, target);
      assert.ok(equal, `'${name}' differs at element ${index}: ${String(value)} and ${String(target)}`);
    }
  }
}

function flatten(array: Tensor): unknown[] {
  const nested = new Tensor(array.dataType, [array.size], array.data).toNested();
  return Array.isArray(nested) ? nested : [nested];
}

function isClose(a: number, b: number, tolerance: number): boolean {
  return Object.is(a, b) || Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a), Math.abs(b));
}

function sameElement(a: unknown, b: unknown): boolean {
  return a === b || (a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0);
}

async function assertRefuses(model: Model, inputs: NamedArrays, name: string): Promise<void> {
  const error = await assertRejects(() => model.run(inputs), ["invalid_argument"]);
  assert.ok(error.message.includes(name), `the message does not name '${name}': ${error.message}`);
}

async function assertRejects(run: () => unknown, codes: readonly string[]): Promise<ServableError> {
  let thrown: unknown;
  try {
    await run();
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown !== undefined, `it should have failed with ${codes.join(" or ")}, but did not`);
  assert.ok(ServableError.isInstance(thrown), `it should have failed with a ServableError, but failed with ${messageOf(thrown)}`);
  assert.ok(
    codes.includes(thrown.code),
    `it should have failed with ${codes.join(" or ")}, but failed with ${thrown.code}: ${thrown.message}`,
  );
  return thrown;
}
