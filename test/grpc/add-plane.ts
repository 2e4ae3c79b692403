/** A small model server of its own, for the fronts: real models in TypeScript behind the real interface, and no engine. */
import { setTimeout as pause } from "node:timers/promises";
import type { ServableError } from "../../src/errors.ts";
import { elementsOf } from "../../src/protocol/elements.ts";
import { InferenceError } from "../../src/protocol/inference-error.ts";
import type { InferOutput, InferRequest, InferResponse } from "../../src/protocol/inference.ts";
import type { ModelStatistics } from "../../src/protocol/model-info.ts";
import type { InferAdmission, LoadOverrides, ModelPlane, ServedModel, Settings } from "../../src/runtime/model-plane.ts";
import { isDataType } from "../../src/tensor/data-type.ts";
import type { ModelConfig } from "../../src/triton/model-config.ts";

type Run = (request: InferRequest, signal: AbortSignal) => AsyncIterable<readonly InferOutput[]>;

function outputsOf(request: InferRequest): readonly InferOutput[] {
  return request.inputs.map((input) => {
    if (!isDataType(input.dataType)) throw new InferenceError("INVALID_ARG", `no such data type ${input.dataType}`);
    const { name, dataType, shape } = input;
    return { name, dataType, shape, data: elementsOf(input, { modelName: request.modelName, requestId: request.id }) };
  });
}

const until = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    if (signal.aborted) reject(signal.reason as Error);
  });

const runs: Record<string, Run> = {
  async *add(request) {
    const [a, b] = outputsOf(request);
    if (!(a?.data instanceof Float32Array) || !(b?.data instanceof Float32Array)) {
      throw new InferenceError("INVALID_ARG", `expected 2 inputs but got ${request.inputs.length} inputs for model 'add'`);
    }
    const right = b.data;
    yield await Promise.resolve([{ name: "SUM", dataType: "FP32", shape: a.shape, data: a.data.map((x, i) => x + (right[i] ?? 0)) }]);
  },
  async *echo(request) {
    yield await Promise.resolve(outputsOf(request));
  },
  // As many responses as its first input says, one after another.
  async *repeat(request, signal) {
    const n = Number(outputsOf(request)[0]?.data[0]);
    for (let i = 0; i < n; i += 1) {
      if (signal.aborted) return;
      await pause(1);
      yield [{ name: "OUT", dataType: "INT32", shape: [1], data: Int32Array.of(i) }];
    }
  },
  // Sleeps for as many milliseconds as its first input says, and answers with them.
  async *sleep(request, signal) {
    const outputs = outputsOf(request);
    await Promise.race([pause(Number(outputs[0]?.data[0] ?? 0)), until(signal)]);
    yield outputs;
  },
};

const zero = { count: 0, ns: 0 };

export interface AddPlane extends ModelPlane {
  readonly loaded: { readonly name: string; readonly overrides: LoadOverrides }[];
  readonly requests: InferRequest[];
  /** Events of admissions: "admit echo", "cancel sleep", "fail add invalid_request", "end echo". */
  readonly seen: string[];
  isReady: boolean;
  inHand: number;
  most: number;
}

export function addPlane(): AddPlane {
  let trace: Record<string, readonly string[]> = { trace_level: ["OFF"], trace_rate: ["1000"] };
  let logs: Record<string, string | number | boolean> = { log_info: true, log_verbose_level: 0, log_file: "" };
  const served = (name: string, version: string): ServedModel => {
    if (version !== "" && !/^\d+$/.test(version)) {
      throw new InferenceError(
        "INVALID_ARG",
        `failed to get model version from specified version string '${version}' (details: stol), version should be an integral value > 0`,
      );
    }
    const run = Object.hasOwn(runs, name) ? runs[name] : undefined;
    if (run === undefined) throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    if (version !== "" && version !== "1")
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' version ${version} is not found`);
    return { name, version: "1", config: configOf(name), admit: () => admit(name, run) };
  };
  const admit = (name: string, run: Run): InferAdmission => {
    if (plane.inHand >= 500) throw new InferenceError("UNAVAILABLE", "[request id: <id_unknown>] Exceeds maximum queue size");
    plane.seen.push(`admit ${name}`);
    plane.inHand += 1;
    plane.most = Math.max(plane.most, plane.inHand);
    const aborter = new AbortController();
    let open = true;
    const leave = (why: string): void => {
      if (!open) return;
      open = false;
      plane.inHand -= 1;
      plane.seen.push(`${why} ${name}`);
    };
    const stream = async function* (request: InferRequest): AsyncGenerator<InferResponse> {
      plane.requests.push(request);
      try {
        for await (const outputs of run(request, aborter.signal)) {
          yield { modelName: name, modelVersion: "1", id: request.id, parameters: {}, outputs };
        }
      } finally {
        leave("end");
      }
    };
    const admission: InferAdmission = {
      onFail: undefined,
      stream,
      async infer(request) {
        for await (const response of stream(request)) return response;
        throw new InferenceError("INTERNAL", "no response");
      },
      cancel() {
        if (open) plane.seen.push(`cancel ${name}`);
        aborter.abort(new InferenceError("CANCELLED", "cancelled by its client"));
      },
      fail(error: ServableError) {
        leave(`fail ${error.code}`);
      },
    };
    return admission;
  };
  const plane: AddPlane = {
    loaded: [],
    requests: [],
    seen: [],
    isReady: true,
    inHand: 0,
    most: 0,
    serverMetadata: { name: "servable", version: "1.2.3", extensions: ["statistics", "binary_tensor_data"] },
    live: () => true,
    ready: () => plane.isReady,
    modelReady: (name, version) => served(name, version).version === "1",
    model: served,
    modelMetadata: (name, version) => ({
      name: served(name, version).name,
      versions: ["1"],
      platform: "typescript",
      inputs: [{ name: "A", datatype: "FP32", shape: [-1, 2 ** 53 - 1] }],
      outputs: [{ name: "SUM", datatype: "FP32", shape: [-1] }],
    }),
    statistics: (name, version) => (name === "" ? ["add", "echo"] : [served(name, version).name]).map(statisticsOf),
    index(repository, onlyReady) {
      if (repository !== "") return Promise.reject(new InferenceError("UNSUPPORTED", "'repository_name' specification is not supported"));
      return Promise.resolve([{ name: "add", version: "1", state: "READY" as const }, ...(onlyReady ? [] : [{ name: "never" }])]);
    },
    load(_repository, name, overrides) {
      if (name === "broken")
        return Promise.reject(new InferenceError("INTERNAL", "failed to load 'broken', failed to poll from model repository"));
      plane.loaded.push({ name, overrides });
      return Promise.resolve();
    },
    unload(_repository, name, unloadDependents) {
      plane.loaded.push({ name: `unload ${name} ${unloadDependents}`, overrides: {} });
      return Promise.resolve();
    },
    traceSettings(_model, changes) {
      const put = Object.entries(changes ?? {}).map(([name, value]) => [name, value ?? ["put back"]]);
      trace = { ...trace, ...(Object.fromEntries(put) as typeof trace) };
      return trace;
    },
    logSettings(changes): Settings {
      logs = { ...logs, ...changes };
      return logs;
    },
  };
  return plane;
}

function configOf(name: string): ModelConfig {
  return {
    name,
    backend: "typescript",
    maxBatchSize: 8,
    versionPolicy: { latest: { numVersions: 1 } },
    input: [{ name: "A", dataType: "TYPE_FP32", dims: [-1], reshape: { shape: [1, -1] } }],
    output: [{ name: "SUM", dataType: "TYPE_BF16", dims: [2, -1], labelFilename: "labels.txt" }],
    instanceGroup: [{ name, kind: "KIND_CPU", count: 2 }],
    dynamicBatching: {
      preferredBatchSize: [4, 8],
      maxQueueDelayMicroseconds: 2n ** 64n - 1n,
      priorityLevels: 2,
      defaultPriorityLevel: 1,
      priorityQueuePolicy: { "1": { timeoutAction: "DELAY", maxQueueSize: 3 }, "2": { defaultTimeoutMicroseconds: 2n ** 53n + 1n } },
    },
    parameters: { threads: { stringValue: "2" } },
    modelWarmup: [{ name: "w", batchSize: 1, inputs: { A: { dataType: "TYPE_FP32", dims: [2], zeroData: true } } }],
    ...(name === "repeat" ? { modelTransactionPolicy: { decoupled: true } } : {}),
  };
}

function statisticsOf(name: string): ModelStatistics {
  const some = { count: 3, ns: 2 ** 40 };
  return {
    name,
    version: "1",
    last_inference: 1_760_000_000_000,
    inference_count: 12,
    execution_count: 3,
    inference_stats: {
      success: some,
      fail: zero,
      queue: some,
      compute_input: some,
      compute_infer: some,
      compute_output: some,
      cache_hit: zero,
      cache_miss: zero,
    },
    response_stats: {
      "0": { compute_infer: some, compute_output: some, success: some, fail: zero, empty_response: zero, cancel: zero },
    },
    batch_stats: [{ batch_size: 4, compute_input: some, compute_infer: some, compute_output: some }],
    memory_usage: [{ type: "CPU", id: 0, byte_size: 1_024 }],
  };
}
