/** The backend `typescript`: what workers construct of a model that is written in TypeScript. */
import type { Model } from "../../model/model.ts";
import { makeDefinition } from "../../service/define-service.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { ModelPlace } from "../../service/model-loader.ts";
import { Service, type ServiceContext, type SetupContext } from "../../service/service.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { declarationOf, type Declaration } from "./typescript-declared.ts";
import { TypeScriptInstance } from "./typescript-instance.ts";
import { importModel } from "./typescript-module.ts";
import type { PlannedTensor, TypeScriptPlan } from "./typescript-plan.ts";
import { ArraysHandler, unpackFacts, type InstanceCall } from "./typescript-wire.ts";

/** What every service here is called, in an engine of its own. */
export const instanceName = "model";

const blank = { input: {}, output: {} } as const;

/** Names, for workers, a model that gives one response to a request. */
export function typescriptLoaderSpec(plan: TypeScriptPlan): LoaderSpec {
  return specOf("typescriptModel", plan);
}

/** Names, for workers, a model that gives any number of responses to a request. */
export function typescriptStreamSpec(plan: TypeScriptPlan): LoaderSpec {
  return specOf("typescriptStream", plan);
}

/** Where a model is that is only looked at. */
export type TypeScriptFile = Pick<TypeScriptPlan, "file" | "folder">;

/** Names, for a worker, what tells what a model declares of itself, without setting it up. */
export function typescriptProbeSpec(file: TypeScriptFile): LoaderSpec {
  return specOf("typescriptProbe", file);
}

function specOf(name: string, plan: TypeScriptFile): LoaderSpec {
  return { module: import.meta.url, export: name, arguments: [plan] };
}

/**
 * What a worker constructs for {@link typescriptLoaderSpec}: the model, with what it is told of its requests taken from beside its inputs.
 *
 * @public - a worker imports it by its name
 */
export function typescriptModel(plan: TypeScriptPlan): AnyServiceDefinition {
  return makeDefinition(
    { name: instanceName, model: true, jsonSchema: blank, loadModel: (place) => loadModel(plan, place) },
    () => new Nothing(),
  );
}

class Nothing extends Service {
  override call(): never {
    throw new TypeError("A worker runs the model alone.");
  }
}

async function loadModel(plan: TypeScriptPlan, { worker, log = silent }: ModelPlace): Promise<Model> {
  const instance = await TypeScriptInstance.load(plan, { worker, log });
  const spec = ({ name, dataType, dims }: PlannedTensor) => ({ name, dataType, shape: plan.maxBatchSize > 0 ? [-1, ...dims] : dims });
  return {
    name: plan.name,
    inputs: plan.inputs.map(spec),
    outputs: plan.outputs.map(spec),
    cancellable: true,
    run: (arrays, { signal = new AbortController().signal } = {}) => instance.run(unpackFacts(arrays), { signal, log }),
    close: () => instance.close(),
  };
}

const nothing = (): void => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/**
 * What a worker constructs for {@link typescriptStreamSpec}.
 *
 * @public - a worker imports it by its name
 */
export function typescriptStream(plan: TypeScriptPlan): AnyServiceDefinition {
  const handler = new ArraysHandler();
  return makeDefinition(
    { name: instanceName, model: true, jsonSchema: blank, request: handler, response: handler },
    () => new StreamService(plan),
  );
}

class StreamService extends Service<InstanceCall, NamedArrays> {
  readonly #plan: TypeScriptPlan;
  #instance: TypeScriptInstance | undefined;

  constructor(plan: TypeScriptPlan) {
    super();
    this.#plan = plan;
  }

  override async setup({ place, log }: SetupContext): Promise<void> {
    this.#instance = await TypeScriptInstance.load(this.#plan, { worker: place?.worker ?? 0, log });
  }

  override call(call: InstanceCall, context: ServiceContext): AsyncIterable<NamedArrays> {
    if (this.#instance === undefined) throw new TypeError("An instance is set up before it is called.");
    return this.#instance.stream(call, context);
  }

  override async close(): Promise<void> {
    await this.#instance?.close();
  }
}

/**
 * What a worker constructs for {@link typescriptProbeSpec}.
 *
 * @public - a worker imports it by its name
 */
export function typescriptProbe(file: TypeScriptFile): AnyServiceDefinition {
  return makeDefinition({ name: instanceName, model: true, jsonSchema: blank }, () => new ProbeAnswer(file));
}

class ProbeAnswer extends Service<unknown, Declaration> {
  readonly #file: TypeScriptFile;
  #declared: Declaration | undefined;

  constructor(file: TypeScriptFile) {
    super();
    this.#file = file;
  }

  override async setup(): Promise<void> {
    this.#declared = declarationOf(await importModel(this.#file.file, this.#file.folder));
  }

  override call(): Declaration {
    if (this.#declared === undefined) throw new TypeError("A model is imported before it is asked.");
    return this.#declared;
  }
}
