/** One instance of a model written in TypeScript, in its worker: set up once, run any number of times. */
import { dirname } from "node:path";
import { ServableError } from "../../errors.ts";
import { isAsyncIterable, type Logger, type MaybePromise } from "../../service/service.ts";
import { mapArrays, type NamedArrays } from "../../tensor/named-arrays.ts";
import { formatShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { checkDeclared } from "./typescript-declared.ts";
import { importModel } from "./typescript-module.ts";
import type { PlannedTensor, TypeScriptPlan } from "./typescript-plan.ts";
import type { InstanceCall } from "./typescript-wire.ts";
import type { ModelContext, RequestFacts, TensorLike, TypeScriptModel } from "./typescript.ts";
import { warmUp } from "./warmup.ts";

/** Where an instance is. */
export interface InstanceSurroundings {
  /** The number of the instance. */
  readonly worker: number;
  readonly log: Logger;
}

/** What of a run is not in its call. */
export type RunSurroundings = Pick<ModelContext, "signal" | "log">;

/** One instance of a model. */
export class TypeScriptInstance {
  readonly #plan: TypeScriptPlan;
  readonly #model: TypeScriptModel;
  readonly #state: unknown;
  readonly #outputs: ReadonlyMap<string, PlannedTensor>;

  private constructor(plan: TypeScriptPlan, model: TypeScriptModel, state: unknown) {
    this.#plan = plan;
    this.#model = model;
    this.#state = state;
    this.#outputs = new Map(plan.outputs.map((output) => [output.name, output]));
  }

  /**
   * Imports the model, sets it up, and runs its warm-up requests.
   *
   * @throws ServableError `load_failed` where it can't be imported or does not fit its configuration, or what `setup` throws
   */
  static async load(plan: TypeScriptPlan, { worker, log }: InstanceSurroundings): Promise<TypeScriptInstance> {
    const { name, version, file, folder, gpus, maxBatchSize, parameters, warmups } = plan;
    const model = await importModel(file, folder);
    checkDeclared(plan, model);
    const device = gpus[worker] ?? undefined;
    const state: unknown = await model.setup?.({
      name,
      version,
      folder: dirname(file),
      instance: worker,
      device,
      maxBatchSize,
      parameters,
      log,
    });
    const instance = new TypeScriptInstance(plan, model, state);
    try {
      await warmUp({ run: (inputs) => instance.#warm(inputs, log) }, folder, warmups);
    } catch (thrown) {
      await instance.close();
      throw thrown;
    }
    return instance;
  }

  /** One answer. @throws ServableError */
  async run(call: InstanceCall, surroundings: RunSurroundings): Promise<NamedArrays> {
    const result = await this.#call(call, surroundings);
    if (!isAsyncIterable(result)) return this.#checked(result, this.#rowsOf(call));
    throw new ServableError(
      "invalid_output",
      `The model '${this.#plan.name}' gave a stream of responses, and its configuration lacks model_transaction_policy { decoupled: true }.`,
    );
  }

  /** Any number of answers. */
  async *stream(call: InstanceCall, surroundings: RunSurroundings): AsyncGenerator<NamedArrays, undefined> {
    const result = await this.#call(call, surroundings);
    if (!isAsyncIterable(result)) {
      yield this.#checked(result, undefined);
      return;
    }
    const iterator = result[Symbol.asyncIterator]();
    let ended = false;
    try {
      for (;;) {
        const next = await this.#guarded(surroundings, () => iterator.next());
        if (next.done === true) {
          ended = true;
          return;
        }
        yield this.#checked(next.value, undefined);
      }
    } catch (thrown) {
      // What threw is over; what gave something wrong is not.
      if (!(ServableError.isInstance(thrown) && thrown.code === "invalid_output")) ended = true;
      throw thrown;
    } finally {
      if (!ended) await iterator.return?.();
    }
  }

  async close(): Promise<void> {
    await this.#model.close?.(this.#state);
  }

  async #warm(inputs: NamedArrays, log: Logger): Promise<NamedArrays> {
    const { maxBatchSize, decoupled } = this.#plan;
    const rows = maxBatchSize > 0 ? (Object.values(inputs)[0]?.shape[0] ?? 1) : 1;
    const call: InstanceCall = { inputs, requests: [{ id: "", parameters: {}, rows }] };
    const surroundings: RunSurroundings = { signal: new AbortController().signal, log };
    if (!decoupled) return this.run(call, surroundings);
    let last: NamedArrays = {};
    for await (const outputs of this.stream(call, surroundings)) last = outputs;
    return last;
  }

  #call({ inputs, requests }: InstanceCall, surroundings: RunSurroundings): Promise<unknown> {
    const context = new RunContext(this.#state, requests, surroundings);
    return this.#guarded(surroundings, () => this.#model.run(inputs, context));
  }

  /** What goes wrong in the model is told in the log, and of it to clients only what was meant for them. */
  async #guarded<T>({ signal, log }: RunSurroundings, work: () => MaybePromise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (ServableError.isInstance(thrown)) throw thrown;
      // A model that gives up when its signal says so has not failed.
      if (signal.aborted && ServableError.isInstance(signal.reason)) throw signal.reason;
      log.error({ err: thrown }, "the model failed");
      throw new ServableError("service_failed", `The model '${this.#plan.name}' failed. The server's log tells more.`, { cause: thrown });
    }
  }

  /** How many rows an answer must have; undefined for a model without a batch's axis. */
  #rowsOf({ requests }: InstanceCall): number | undefined {
    return this.#plan.maxBatchSize > 0 ? requests.reduce((sum, { rows }) => sum + Math.max(1, rows), 0) : undefined;
  }

  #checked(outputs: unknown, rows: number | undefined): NamedArrays {
    if (typeof outputs !== "object" || outputs === null)
      throw this.#wrong(`gave ${outputs === null ? "null" : typeof outputs} instead of its outputs by name`);
    const given = Object.entries(outputs).filter(([, array]) => array !== undefined);
    return mapArrays(Object.fromEntries(given) as NamedArrays, (array, name) => this.#output(name, array, rows));
  }

  #output(name: string, array: TensorLike, rows: number | undefined): Tensor {
    const planned = this.#outputs.get(name);
    if (planned === undefined) throw this.#wrong(`gave '${name}', which is none of its outputs (${[...this.#outputs.keys()].join(", ")})`);
    let tensor: Tensor;
    try {
      tensor = new Tensor(array.dataType, array.shape, array.data);
    } catch (thrown) {
      throw this.#wrong(
        `gave its output '${name}' as something that is no tensor: ${thrown instanceof Error ? thrown.message : ""}`,
        thrown,
      );
    }
    const { dataType, dims } = planned;
    const { shape } = tensor;
    const axes = this.#plan.maxBatchSize > 0 ? 1 : 0;
    const fits = shape.length === dims.length + axes && dims.every((length, axis) => length === -1 || length === shape[axis + axes]);
    if (tensor.dataType !== dataType || !fits || (rows !== undefined && shape[0] !== rows)) {
      const expected = `${dataType} ${formatShape(axes === 1 ? [rows ?? -1, ...dims] : dims)}`;
      throw this.#wrong(`gave its output '${name}' as ${tensor.toString()} instead of ${expected}`);
    }
    return tensor;
  }

  #wrong(what: string, cause?: unknown): ServableError {
    return new ServableError("invalid_output", `The model '${this.#plan.name}' ${what}.`, { cause });
  }
}

/** What `run` gets besides the inputs. */
class RunContext implements ModelContext {
  readonly state: unknown;
  readonly requests: readonly [RequestFacts, ...RequestFacts[]];
  readonly #surroundings: RunSurroundings;

  constructor(state: unknown, [first, ...others]: readonly RequestFacts[], surroundings: RunSurroundings) {
    if (first === undefined) throw new ServableError("internal", "A run of a model is for one request at least.");
    this.state = state;
    this.requests = [first, ...others];
    this.#surroundings = surroundings;
  }

  get signal(): AbortSignal {
    return this.#surroundings.signal;
  }

  get log(): Logger {
    return this.#surroundings.log;
  }
}
