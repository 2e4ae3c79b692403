import type {
  InferBatchStatistics,
  InferResponseStatistics,
  InferStatistics,
  ModelMetadata,
  ModelState,
  ModelStatistics,
  RepositoryIndexEntry,
  ServerMetadata,
  StatisticDuration,
  TensorMetadata,
} from "../model-info.ts";
import type { inference } from "./generated/messages.js";
import { readNumber } from "./int64.ts";

type WireDuration = inference.StatisticDuration.$Properties;
type WireTensor = inference.ModelMetadataResponse.TensorMetadata.$Properties;

export function writeServerMetadata({ name, version, extensions }: ServerMetadata): inference.ServerMetadataResponse.$Properties {
  return { name, version, extensions: [...extensions] };
}

export function readServerMetadata({ name, version, extensions }: inference.ServerMetadataResponse.$Properties): ServerMetadata {
  return { name: name ?? "", version: version ?? "", extensions: extensions ?? [] };
}

export function writeModelMetadata(metadata: ModelMetadata): inference.ModelMetadataResponse.$Properties {
  return {
    name: metadata.name,
    versions: [...metadata.versions],
    platform: metadata.platform,
    inputs: metadata.inputs.map(writeTensor),
    outputs: metadata.outputs.map(writeTensor),
  };
}

export function readModelMetadata(message: inference.ModelMetadataResponse.$Properties): ModelMetadata {
  return {
    name: message.name ?? "",
    versions: message.versions ?? [],
    platform: message.platform ?? "",
    inputs: (message.inputs ?? []).map(readTensor),
    outputs: (message.outputs ?? []).map(readTensor),
  };
}

function writeTensor({ name, datatype, shape }: TensorMetadata): WireTensor {
  return { name, datatype, shape: [...shape] };
}

function readTensor({ name, datatype, shape }: WireTensor): TensorMetadata {
  return { name: name ?? "", datatype: datatype ?? "", shape: (shape ?? []).map(readNumber) };
}

export function writeStatistics(models: readonly ModelStatistics[]): inference.ModelStatisticsResponse.$Properties {
  return {
    modelStats: models.map((model) => ({
      name: model.name,
      version: model.version,
      lastInference: model.last_inference,
      inferenceCount: model.inference_count,
      executionCount: model.execution_count,
      inferenceStats: {
        success: writeDuration(model.inference_stats.success),
        fail: writeDuration(model.inference_stats.fail),
        queue: writeDuration(model.inference_stats.queue),
        computeInput: writeDuration(model.inference_stats.compute_input),
        computeInfer: writeDuration(model.inference_stats.compute_infer),
        computeOutput: writeDuration(model.inference_stats.compute_output),
        cacheHit: writeDuration(model.inference_stats.cache_hit),
        cacheMiss: writeDuration(model.inference_stats.cache_miss),
      },
      batchStats: model.batch_stats.map((batch) => ({
        batchSize: batch.batch_size,
        computeInput: writeDuration(batch.compute_input),
        computeInfer: writeDuration(batch.compute_infer),
        computeOutput: writeDuration(batch.compute_output),
      })),
      memoryUsage: model.memory_usage.map(({ type, id, byte_size }) => ({ type, id, byteSize: byte_size })),
      responseStats: Object.fromEntries(
        Object.entries(model.response_stats).map(([index, stats]) => [
          index,
          {
            computeInfer: writeDuration(stats.compute_infer),
            computeOutput: writeDuration(stats.compute_output),
            success: writeDuration(stats.success),
            fail: writeDuration(stats.fail),
            emptyResponse: writeDuration(stats.empty_response),
            cancel: writeDuration(stats.cancel),
          },
        ]),
      ),
    })),
  };
}

export function readStatistics(message: inference.ModelStatisticsResponse.$Properties): readonly ModelStatistics[] {
  return (message.modelStats ?? []).map((model) => ({
    name: model.name ?? "",
    version: model.version ?? "",
    last_inference: readNumber(model.lastInference ?? 0),
    inference_count: readNumber(model.inferenceCount ?? 0),
    execution_count: readNumber(model.executionCount ?? 0),
    inference_stats: readInferStatistics(model.inferenceStats ?? {}),
    response_stats: Object.fromEntries(
      Object.entries(model.responseStats ?? {}).map(([index, stats]) => [index, readResponseStatistics(stats)]),
    ),
    batch_stats: (model.batchStats ?? []).map(readBatchStatistics),
    memory_usage: (model.memoryUsage ?? []).map(({ type, id, byteSize }) => ({
      type: type ?? "",
      id: readNumber(id ?? 0),
      byte_size: readNumber(byteSize ?? 0),
    })),
  }));
}

function readInferStatistics(stats: inference.InferStatistics.$Properties): InferStatistics {
  return {
    success: readDuration(stats.success),
    fail: readDuration(stats.fail),
    queue: readDuration(stats.queue),
    compute_input: readDuration(stats.computeInput),
    compute_infer: readDuration(stats.computeInfer),
    compute_output: readDuration(stats.computeOutput),
    cache_hit: readDuration(stats.cacheHit),
    cache_miss: readDuration(stats.cacheMiss),
  };
}

function readResponseStatistics(stats: inference.InferResponseStatistics.$Properties): InferResponseStatistics {
  return {
    compute_infer: readDuration(stats.computeInfer),
    compute_output: readDuration(stats.computeOutput),
    success: readDuration(stats.success),
    fail: readDuration(stats.fail),
    empty_response: readDuration(stats.emptyResponse),
    cancel: readDuration(stats.cancel),
  };
}

function readBatchStatistics(stats: inference.InferBatchStatistics.$Properties): InferBatchStatistics {
  return {
    batch_size: readNumber(stats.batchSize ?? 0),
    compute_input: readDuration(stats.computeInput),
    compute_infer: readDuration(stats.computeInfer),
    compute_output: readDuration(stats.computeOutput),
  };
}

function writeDuration({ count, ns }: StatisticDuration): WireDuration {
  return { count, ns: Math.round(ns) };
}

function readDuration(duration: WireDuration | null | undefined): StatisticDuration {
  return { count: readNumber(duration?.count ?? 0), ns: readNumber(duration?.ns ?? 0) };
}

export function writeIndex(entries: readonly RepositoryIndexEntry[]): inference.RepositoryIndexResponse.$Properties {
  return {
    models: entries.map(({ name, version, state, reason }) => ({ name, version: version ?? "", state: state ?? "", reason: reason ?? "" })),
  };
}

const states: ReadonlySet<string> = new Set<ModelState>(["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]);

function isState(text: string): text is ModelState {
  return states.has(text);
}

/** Members that are empty on the wire are left out, as they are over HTTP. */
export function readIndex(message: inference.RepositoryIndexResponse.$Properties): readonly RepositoryIndexEntry[] {
  return (message.models ?? []).map(({ name, version, state, reason }) => ({
    name: name ?? "",
    ...(version ? { version } : {}),
    ...(state && isState(state) ? { state } : {}),
    ...(reason ? { reason } : {}),
  }));
}
