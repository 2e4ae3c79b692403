/** Models of a repository that are written in TypeScript: what a `model.ts` says. */
import { ServableError, messageOf } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { InferParameters } from "../../protocol/inference.ts";
import type { Logger, MaybePromise } from "../../service/service.ts";
import { dataTypes, isDataType, type DataType, type TensorData } from "../../tensor/data-type.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** An output of a model, or an input: what its arrays look like. */
export interface OutputDeclaration<D extends DataType = DataType> {
  readonly dataType: D;
  /** The length of each dimension, -1 where any will do; as in config.pbtxt without the batch's axis. */
  readonly dims: readonly number[];
}

/** An input of a model. */
export interface InputDeclaration<D extends DataType = DataType> extends OutputDeclaration<D> {
  /** Whether a request may leave it out. @default false */
  readonly optional?: boolean | undefined;
}

/** Inputs by name. */
export type InputDeclarations = Readonly<Record<string, InputDeclaration>>;

/** Outputs by name. */
export type OutputDeclarations = Readonly<Record<string, OutputDeclaration>>;

/** What `run` gets for its declared inputs: one tensor each; what a request may leave out may be missing. */
export type InputArrays<I extends InputDeclarations> = {
  readonly [K in keyof I]: I[K] extends { readonly optional: true } ? Tensor<I[K]["dataType"]> | undefined : Tensor<I[K]["dataType"]>;
};

/** A tensor, or a plain object with what makes one. */
export interface TensorLike<D extends DataType = DataType> {
  readonly dataType: D;
  readonly shape: readonly number[];
  readonly data: TensorData<D>;
}

/** What `run` gives: a tensor for each of its outputs; one that is left out can't be asked for. */
export type OutputArrays<O extends OutputDeclarations> = { readonly [K in keyof O]?: TensorLike<O[K]["dataType"]> };

/** What a model knows of a request. */
export interface RequestFacts {
  /** The protocol's own; empty where it had none. */
  readonly id: string;
  /** Those of the body and, where the server forwards any, headers. */
  readonly parameters: InferParameters;
  /** Its rows in the batch's axis; 1 for a model without one. */
  readonly rows: number;
}

/** What `run` knows besides its inputs. */
export interface ModelContext<S = unknown> {
  /** What `setup` gave. */
  readonly state: S;
  /** The requests whose rows the inputs are, in order: one, unless `dynamic_batching` put several together. */
  readonly requests: readonly [RequestFacts, ...RequestFacts[]];
  /** Aborted when nobody waits for the answer any more, of none of the requests. */
  readonly signal: AbortSignal;
  /** Writes to the server's log; the lines carry the model's name and version. */
  readonly log: Logger;
}

/** Where an instance of a model is set up. */
export interface InstancePlace {
  readonly name: string;
  readonly version: string;
  /** The folder of the version, where the model's own files are. */
  readonly folder: string;
  /** The number of the instance, from 0 on. */
  readonly instance: number;
  /** The GPU that `instance_group` has for it; undefined for the CPU. */
  readonly device: number | undefined;
  /** 0 where the inputs have no batch's axis. */
  readonly maxBatchSize: number;
  /** `parameters` of config.pbtxt. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly log: Logger;
}

/** A model written in TypeScript; see {@link defineModel}. */
export interface TypeScriptModel<
  I extends InputDeclarations = InputDeclarations,
  O extends OutputDeclarations = OutputDeclarations,
  S = unknown,
> {
  /** With both of them declared a model needs no config.pbtxt. A config.pbtxt that has its own must agree. @default those of config.pbtxt */
  readonly inputs?: I | undefined;
  readonly outputs?: O | undefined;
  /** Most rows in one run, where config.pbtxt says nothing; with more than one, requests are put together. @default 0: no batch's axis */
  readonly maxBatchSize?: number | undefined;
  /** Loads what runs need, once in each instance; what it gives is `context.state`. */
  readonly setup?: ((place: InstancePlace) => MaybePromise<S>) | undefined;
  /**
   * Answers one request, or several whose rows were put together. An async generator answers with any number of responses (a decoupled
   * model): each `yield` is one, and the next is made when the client has room for it. When the client leaves, its `finally` runs.
   */
  readonly run: (
    inputs: InputArrays<I>,
    context: ModelContext<S>,
  ) => MaybePromise<OutputArrays<O>> | MaybePromise<AsyncIterable<OutputArrays<O>>>;
  /** Frees what `setup` gave. */
  readonly close?: ((state: S) => MaybePromise<void>) | undefined;
}

/**
 * Defines a model of a repository in TypeScript: the default export of `model.ts` in the folder of a version. It runs in worker threads, or
 * processes (`parameters { key: "placement" value { string_value: "process" } }`), as many as `instance_group` says.
 *
 * @throws ServableError `invalid_config` for what can't be a model
 * @example
 * ```ts
 * import { defineModel } from "servable/server";
 *
 * // models/double/1/model.ts
 * export default defineModel({
 *   inputs: { x: { dataType: "FP32", dims: [-1] } },
 *   outputs: { y: { dataType: "FP32", dims: [-1] } },
 *   maxBatchSize: 8,
 *   run: ({ x }) => ({ y: { ...x, data: x.data.map((value) => 2 * value) } }),
 * });
 * ```
 * @example
 * ```ts
 * import { defineModel } from "servable/server";
 *
 * // models/count/1/model.ts: one response for each number
 * export default defineModel({
 *   inputs: { to: { dataType: "INT32", dims: [1] } },
 *   outputs: { number: { dataType: "INT32", dims: [1] } },
 *   async *run({ to }, { signal }) {
 *     for (let number = 1; number <= (to.data[0] ?? 0) && !signal.aborted; number += 1) {
 *       yield { number: { dataType: "INT32", shape: [1], data: Int32Array.of(number) } };
 *     }
 *   },
 * });
 * ```
 */
export function defineModel<
  const I extends InputDeclarations = InputDeclarations,
  const O extends OutputDeclarations = OutputDeclarations,
  S = undefined,
>(model: TypeScriptModel<I, O, S>): TypeScriptModel<I, O, S> {
  checkModel(model);
  refuseUnknownKeys(model, modelKeys, "A model");
  return Object.freeze({ ...model });
}

/** @throws ServableError `invalid_config` that says what of an export keeps it from being a model */
export function checkModel(model: unknown): asserts model is TypeScriptModel {
  if (typeof model !== "object" || model === null)
    throw wrong(`it is ${model === null ? "null" : `a ${typeof model}`}, not an object with a function \`run\``);
  const { inputs, outputs, maxBatchSize, setup, run, close }: Partial<Record<keyof TypeScriptModel, unknown>> = model;
  if (typeof run !== "function") throw wrong("it has no function `run`");
  for (const [name, optional] of Object.entries({ setup, close })) {
    if (optional !== undefined && typeof optional !== "function") throw wrong(`its \`${name}\` is not a function`);
  }
  if (maxBatchSize !== undefined && !(Number.isSafeInteger(maxBatchSize) && Number(maxBatchSize) >= 0)) {
    throw wrong(`its \`maxBatchSize\` must be a whole number from 0 on, not ${messageOf(maxBatchSize)}`);
  }
  checkDeclarations("inputs", inputs);
  checkDeclarations("outputs", outputs);
}

const modelKeys = {
  inputs: true,
  outputs: true,
  maxBatchSize: true,
  setup: true,
  run: true,
  close: true,
} satisfies KeysOf<TypeScriptModel>;

const outputKeys = { dataType: true, dims: true } satisfies KeysOf<OutputDeclaration>;
const declarationKeys = {
  inputs: { ...outputKeys, optional: true } satisfies KeysOf<InputDeclaration>,
  outputs: outputKeys,
};

function checkDeclarations(side: keyof typeof declarationKeys, declared: unknown): void {
  if (declared === undefined) return;
  if (typeof declared !== "object" || declared === null) throw wrong(`its \`${side}\` must be an object`);
  for (const [name, declaration] of Object.entries(declared) as [string, unknown][]) {
    refuseUnknownKeys(declaration, declarationKeys[side], "This is no model", `${side}.${name}`);
    const { dataType, dims } = declaration as Partial<Record<keyof InputDeclaration, unknown>>;
    if (!isDataType(dataType))
      throw wrong(`\`${side}.${name}.dataType\` must be one of ${dataTypes.join(", ")}, not ${JSON.stringify(dataType)}`);
    const fits =
      Array.isArray(dims) && dims.length > 0 && dims.every((length) => Number.isSafeInteger(length) && (length >= 1 || length === -1));
    if (!fits)
      throw wrong(`\`${side}.${name}.dims\` must be a list of lengths, each at least 1, or -1 for any, not ${JSON.stringify(dims)}`);
  }
}

function wrong(why: string): ServableError {
  return new ServableError("invalid_config", `This is no model: ${why}. See defineModel.`);
}
