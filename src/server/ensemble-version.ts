import type { EngineOptions } from "../engine/engine.ts";
import { ServableError } from "../errors.ts";
import { InferenceError, statusOf } from "../protocol/inference-error.ts";
import type { InferRequest, InferResponse } from "../protocol/inference.ts";
import type { InferAdmission, InferCaller, ServedModel } from "../runtime/model-plane.ts";
import { CallContext } from "../service/call-context.ts";
import { makeDefinition } from "../service/define-service.ts";
import { Service, type ServiceContext } from "../service/service.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig, ModelEnsemblingStep } from "../triton/model-config.ts";
import { buildResponse, type Labels } from "./build-response.ts";
import { prepareRequest } from "./check-request.ts";
import type { ModelRequest } from "./model-request.ts";
import { serviceName } from "./model-service.ts";
import type { ModelLimits } from "./model-version.ts";
import type { ServedVersion } from "./served-version.ts";
import { signatureOf, type Signature } from "./signature.ts";
import { VersionStatistics } from "./statistics.ts";
import { VersionEngine, type VersionWork } from "./version-engine.ts";

/** What an {@link EnsembleVersion} is made of. */
export interface EnsembleVersionOptions {
  readonly version: string;
  readonly config: ModelConfig;
  readonly labels: Labels;
  readonly limits: ModelLimits;
  readonly log: EngineOptions["log"];
  /** Finds the model of a step. @param version - empty for the newest. @throws InferenceError */
  readonly find: (name: string, version: string) => ServedModel & Pick<ServedVersion, "ready">;
}

/** One version of an ensemble: a graph of models, between which tensors pass as they are. */
export class EnsembleVersion implements ServedVersion, VersionWork {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  readonly statistics: VersionStatistics = new VersionStatistics();
  readonly pending = 0;
  readonly #signature: Signature;
  readonly #labels: Labels;
  readonly #steps: readonly ModelEnsemblingStep[];
  readonly #find: EnsembleVersionOptions["find"];
  readonly #engine: VersionEngine;

  constructor({ version, config, labels, limits, log, find }: EnsembleVersionOptions) {
    this.name = config.name ?? "";
    this.version = version;
    this.config = config;
    this.#labels = labels;
    this.#signature = signatureOf(config);
    this.#steps = config.ensembleScheduling?.step ?? [];
    this.#find = find;
    const service = makeDefinition(
      {
        name: serviceName,
        jsonSchema: { input: {}, output: {} },
        policy: { placement: "inline", concurrency: limits.maxPendingRequests, queue: 0, deadlineMs: limits.deadlineMs },
      },
      () => new EnsembleService((request, context) => this.#run(request, context)),
    );
    this.#engine = new VersionEngine(this, { services: [service], log: log.child({ model: this.name, version }) });
  }

  /** Whether all its models are, too. */
  get ready(): boolean {
    try {
      return this.#engine.ready && this.#steps.every((step) => this.#model(step).ready);
    } catch {
      return false;
    }
  }

  get running(): ServedVersion["running"] {
    return this.#engine.running;
  }

  /** @throws InferenceError where a model that it needs is not loaded */
  async start(): Promise<void> {
    const missing = this.#steps.filter((step) => {
      try {
        this.#model(step);
        return false;
      } catch {
        return true;
      }
    });
    if (missing.length > 0) {
      const names = missing.map(({ modelName = "" }) => modelName).join(", ");
      throw new InferenceError("INVALID_ARG", `ensemble ${this.name} contains models that are not available or ambiguous: ${names}`);
    }
    await this.#engine.start();
  }

  stop(graceMs: number): Promise<void> {
    return this.#engine.stop(graceMs);
  }

  admit(caller: InferCaller): InferAdmission {
    return this.#engine.admit(caller);
  }

  prepare(request: InferRequest): ModelRequest {
    return prepareRequest(this.#signature, request);
  }

  respond(request: InferRequest, outputs: NamedArrays): InferResponse {
    return buildResponse(this.#signature, this.version, this.#labels, request, outputs);
  }

  failed(): void {
    // It has no queue of its own.
  }

  #model({ modelName = "", modelVersion = -1 }: ModelEnsemblingStep): ReturnType<EnsembleVersionOptions["find"]> {
    return this.#find(modelName, Number(modelVersion) < 1 ? "" : String(modelVersion));
  }

  async #run(request: ModelRequest, context: CallContext): Promise<NamedArrays> {
    request.batchedAt = performance.now();
    const outputs = await new EnsembleRun(this.name, this.#steps, (step) => this.#model(step), request, context).outputs();
    request.inferMs = performance.now() - request.batchedAt;
    this.statistics.ran(Math.max(1, request.rows), 0, request.inferMs, 0);
    return outputs;
  }
}

/** What the engine runs of an ensemble: it has no model of its own. */
class EnsembleService extends Service<ModelRequest, NamedArrays> {
  readonly #run: (request: ModelRequest, context: CallContext) => Promise<NamedArrays>;

  constructor(run: (request: ModelRequest, context: CallContext) => Promise<NamedArrays>) {
    super();
    this.#run = run;
  }

  override call(request: ModelRequest, context: ServiceContext): Promise<NamedArrays> {
    if (context instanceof CallContext) return this.#run(request, context);
    throw new ServableError("internal", "A request to a model comes from the engine.");
  }
}

/** One request on its way through the graph: each step begins when all that it reads is there. */
class EnsembleRun {
  readonly #name: string;
  readonly #find: (step: ModelEnsemblingStep) => ServedModel;
  readonly #request: ModelRequest;
  readonly #context: CallContext;
  readonly #tensors: Map<string, Tensor>;
  /** Optional inputs that the request left out: what reads them does without. */
  readonly #absent = new Set<string>();
  readonly #waiting: Set<ModelEnsemblingStep>;
  readonly #running = new Set<InferAdmission>();

  constructor(
    name: string,
    steps: readonly ModelEnsemblingStep[],
    find: (step: ModelEnsemblingStep) => ServedModel,
    request: ModelRequest,
    context: CallContext,
  ) {
    this.#name = name;
    this.#find = find;
    this.#request = request;
    this.#context = context;
    this.#tensors = new Map(Object.entries(request.inputs));
    this.#waiting = new Set(steps);
    const written = new Set(steps.flatMap(({ outputMap = {} }) => Object.values(outputMap)));
    for (const { inputMap = {} } of steps) {
      for (const tensor of Object.values(inputMap)) if (!this.#tensors.has(tensor) && !written.has(tensor)) this.#absent.add(tensor);
    }
  }

  /** @throws InferenceError of the step that failed first; the others are cancelled */
  async outputs(): Promise<NamedArrays> {
    const cancelAll = (): void => {
      for (const admission of this.#running) admission.cancel();
    };
    this.#context.watchAbort(cancelAll);
    try {
      await this.#advance();
      return Object.fromEntries(this.#tensors);
    } catch (thrown) {
      cancelAll();
      throw thrown;
    } finally {
      this.#context.unwatchAbort(cancelAll);
    }
  }

  async #advance(): Promise<void> {
    this.#context.throwIfAborted();
    const ready = [...this.#waiting].filter(({ inputMap = {} }) =>
      Object.values(inputMap).every((tensor) => this.#tensors.has(tensor) || this.#absent.has(tensor)),
    );
    for (const step of ready) this.#waiting.delete(step);
    await Promise.all(
      ready.map(async (step) => {
        await this.#runStep(step);
        await this.#advance();
      }),
    );
  }

  async #runStep(step: ModelEnsemblingStep): Promise<void> {
    const { inputMap = {}, outputMap = {} } = step;
    const { id, parameters } = this.#request.source;
    const inputs = Object.entries(inputMap).flatMap(([name, tensor]) => {
      const found = this.#tensors.get(tensor);
      return found === undefined ? [] : { name, dataType: found.dataType, shape: found.shape, data: found.data };
    });
    let admission: InferAdmission | undefined;
    try {
      const model = this.#find(step);
      const request: InferRequest = {
        modelName: model.name,
        modelVersion: model.version,
        id,
        parameters,
        inputs,
        outputs: Object.keys(outputMap).map((name) => ({ name })),
      };
      admission = model.admit({ requestId: this.#context.requestId });
      this.#running.add(admission);
      const { outputs } = await admission.infer(request);
      for (const { name, dataType, shape, data } of outputs) {
        const tensor = outputMap[name];
        if (tensor !== undefined) this.#tensors.set(tensor, new Tensor(dataType, shape, data));
      }
    } catch (thrown) {
      const text = ServableError.isInstance(thrown) ? thrown.message : "the model failed";
      throw new InferenceError(statusOf(thrown), `in ensemble '${this.#name}', ${text}`, { cause: thrown });
    } finally {
      if (admission !== undefined) this.#running.delete(admission);
    }
  }
}
