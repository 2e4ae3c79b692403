import { ServableError } from "../errors.ts";
import type { CallContext } from "../service/call-context.ts";
import type { AnyServiceDefinition, ServicePolicy } from "../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../service/full-service.ts";
import type { LoaderSpec } from "../service/loader.ts";
import type { CallResult, MaybePromise } from "../service/service.ts";
import { Arrivals } from "./batching/arrivals.ts";
import type { BatchEvent } from "./batching/dynamic-batcher.ts";
import { Deadlines } from "./deadlines.ts";
import type { Execution, ExecutionHost } from "./execution.ts";
import { Gate } from "./gate.ts";
import type { BatchRunEvent, EngineLogger, WorkerEvent } from "./observer.ts";
import { InferencePlacement } from "./placement/inference.ts";
import { InlinePlacement } from "./placement/inline.ts";
import type { PlacementStatus, ServicePlacement } from "./placement/placement.ts";
import { WorkerPlacement } from "./placement/worker-placement.ts";
import { resolvePolicy, type ResolvedPolicy } from "./policy.ts";

/** What a {@link HostedService} is made of. */
export interface HostedServiceOptions {
  readonly definition: AnyServiceDefinition;
  /** How a worker constructs the service; undefined where it is known by its object only. */
  readonly spec: LoaderSpec | undefined;
  readonly policy: ServicePolicy | undefined;
  readonly log: EngineLogger;
  readonly finished: (execution: Execution, error: ServableError | undefined) => void;
  readonly left: () => void;
  readonly workerChanged: (event: WorkerEvent) => void;
  readonly batchRun: (event: BatchRunEvent) => void;
}

/** One service in the engine: its definition, its limits and its places. */
export class HostedService implements ExecutionHost {
  readonly definition: AnyServiceDefinition;
  readonly policy: ResolvedPolicy;
  readonly gate: Gate;
  readonly deadlines: Deadlines<Execution>;
  readonly log: EngineLogger;
  readonly finished: HostedServiceOptions["finished"];
  readonly left: HostedServiceOptions["left"];
  readonly #placement: ServicePlacement;
  /** Only where a batch may wait for others is it followed where requests are. */
  readonly #arrivals: Arrivals | undefined;

  constructor(options: HostedServiceOptions) {
    const { definition } = options;
    this.definition = definition;
    this.policy = resolvePolicy(definition, options.policy);
    this.gate = new Gate(this.policy.concurrency, this.policy.queue);
    this.deadlines = new Deadlines(this.policy.deadlineMs);
    this.log = options.log;
    this.finished = options.finished;
    const { maxDelayMs, waitAlone } = this.policy.batching;
    const arrivals = maxDelayMs > 0 && !waitAlone ? new Arrivals(this.gate) : undefined;
    this.#arrivals = arrivals;
    this.left = () => {
      options.left();
      arrivals?.left();
    };
    this.#placement = this.#place(options);
    this.#warnOfBlankSchemas();
  }

  get service(): string {
    return this.definition.name;
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#placement.start(signal);
  }

  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse> {
    return this.#placement.run(request, context);
  }

  call(value: unknown, context: CallContext): CallResult<unknown> {
    if (this.#placement.call !== undefined) return this.#placement.call(value, context);
    throw new ServableError("unsupported", `Service '${this.service}' runs in workers, which take bytes only.`);
  }

  placementStatus(): PlacementStatus {
    return this.#placement.status();
  }

  /** What runs, whether somebody waits for it or not: a run that was given up goes on in its worker until it ends. */
  get running(): number {
    return Math.max(this.gate.running, this.#placement.inWorkers);
  }

  async stop(): Promise<void> {
    try {
      await this.#placement.stop();
    } catch (thrown) {
      this.log.error({ err: thrown }, "close failed");
    }
  }

  /** OpenAPI, and so every reader of the page, then learns nothing of this side. */
  #warnOfBlankSchemas(): void {
    const { name, inputJsonSchema, outputJsonSchema, request, response } = this.definition;
    const sides = [
      ["input", inputJsonSchema, request],
      ["output", outputJsonSchema, response],
    ] as const;
    for (const [side, schema, handlers] of sides) {
      if (schema !== undefined || !handlers.some(({ mediaTypes }) => mediaTypes.includes("application/json"))) continue;
      this.log.warn(
        `OpenAPI says {} for the ${side} of service '${name}': give it a schema that tells its JSON Schema, or jsonSchema.${side}`,
      );
    }
  }

  #place({ spec, workerChanged, batchRun }: HostedServiceOptions): ServicePlacement {
    const { definition, policy, log } = this;
    if (policy.stageWorkers > 0 && (policy.placement === "inline" || definition.loadModel === undefined)) {
      throw new ServableError(
        "invalid_config",
        `Service '${definition.name}': policy.stages is for a service with a model of its own on workers (defineInference), and this one ` +
          (policy.placement === "inline" ? 'is placed "inline".' : "has none."),
      );
    }
    const onChange = workerChanged;
    const worker =
      policy.placement === "inline" ? undefined : { kind: policy.placement, spec: constructible(definition.name, policy, spec) };
    const { loadModel } = definition;
    if (loadModel !== undefined) {
      const onBatch = (event: BatchEvent): void => {
        batchRun({ service: definition.name, ...event });
      };
      return new InferencePlacement({ definition, loadModel, worker, policy, log, onChange, onBatch, arrivals: this.#arrivals });
    }
    if (worker === undefined) return new InlinePlacement({ definition, policy, log, onChange });
    return new WorkerPlacement({ service: definition.name, ...worker, policy, log, onChange });
  }
}

function constructible(service: string, { placement }: ResolvedPolicy, spec: LoaderSpec | undefined): LoaderSpec {
  if (spec !== undefined) return spec;
  throw new ServableError(
    "invalid_config",
    `Service '${service}' runs ${placement === "process" ? "in a process" : "on a thread"}, which constructs it anew: say where from, { module: import.meta.url, export: "…" }, ` +
      'instead of giving the object, or ask for policy: { placement: "inline" }.',
  );
}
