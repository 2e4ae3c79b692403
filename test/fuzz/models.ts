import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { dataTypes, type DataType } from "../../src/tensor/data-type.ts";
import type { Random } from "./random.ts";
import { identityModel, writeOnnx } from "../support/onnx-writer.ts";

/** An input or output, without the batch's axis. */
export interface FuzzTensor {
  readonly name: string;
  readonly dataType: DataType;
  /** -1 for any length. */
  readonly dims: readonly number[];
}

/** A model that cases aim at. */
export interface FuzzModel {
  readonly name: string;
  readonly maxBatchSize: number;
  readonly inputs: readonly FuzzTensor[];
  readonly outputs: readonly string[];
  /** Whether it has state: then a request is one row of a sequence, and whether it may come depends on those before it. */
  readonly stateful?: boolean;
}

/** onnxruntime-node can't pass BF16. */
const served: readonly DataType[] = dataTypes.filter((dataType) => dataType !== "BF16");

const x = (dataType: DataType, dims: readonly number[]): FuzzTensor => ({ name: "x", dataType, dims });

/** What the repository serves from the start; the first one is asked whether all is well. */
export const models: readonly FuzzModel[] = [
  ...served.map((dataType) => ({
    name: `id_${dataType.toLowerCase()}`,
    maxBatchSize: 8,
    inputs: [x(dataType, [2])],
    outputs: ["y"],
  })),
  { name: "plain", maxBatchSize: 0, inputs: [x("FP32", [2, 3])], outputs: ["y"] },
  { name: "vector", maxBatchSize: 0, inputs: [x("INT32", [-1])], outputs: ["y"] },
  { name: "word", maxBatchSize: 0, inputs: [x("BYTES", [1])], outputs: ["y"] },
  {
    name: "sum",
    maxBatchSize: 4,
    inputs: [
      { ...x("FP32", [3]), name: "a" },
      { ...x("FP32", [3]), name: "b" },
    ],
    outputs: ["c"],
  },
  { name: "versions", maxBatchSize: 8, inputs: [x("FP32", [2])], outputs: ["y"] },
  { name: "queued", maxBatchSize: 8, inputs: [x("FP32", [2])], outputs: ["y"] },
  { name: "sequence", maxBatchSize: 4, inputs: [x("FP32", [2])], outputs: ["y"], stateful: true },
  { name: "ensemble", maxBatchSize: 8, inputs: [x("FP32", [2])], outputs: ["y"] },
];

/** Those whose sound requests are answered whatever came before. */
export const statelessModels: readonly FuzzModel[] = models.filter(({ stateful }) => stateful !== true);

/** The rows of a request that is sound; 0 where the model takes no batches. */
export function batchOf(random: Random, { maxBatchSize, stateful }: FuzzModel): number {
  if (stateful === true) return 1;
  return maxBatchSize > 0 ? random.between(1, maxBatchSize) : 0;
}

const one = "instance_group { count: 1 kind: KIND_CPU }";
const batched = `max_batch_size: 8\n${one}\n`;
const pass = (dataType: DataType): Uint8Array => identityModel(dataType, ["batch", 2]);

/** Writes the repository that {@link models} tells of. */
export async function writeModels(folder: string): Promise<void> {
  const files: Record<string, string | Uint8Array> = {
    "plain/1/model.onnx": identityModel("FP32", [2, 3]),
    "plain/config.pbtxt": 'output { name: "y" data_type: TYPE_FP32 dims: [2, 3] label_filename: "labels.txt" }\n',
    "plain/labels.txt": "one\ntwo\nthree\n",
    "vector/1/model.onnx": identityModel("INT32", ["n"]),
    "vector/config.pbtxt": `backend: "onnxruntime" ${one}
      input { name: "x" data_type: TYPE_INT32 dims: -1 } output { name: "y" data_type: TYPE_INT32 dims: -1 }\n`,
    "word/1/model.onnx": identityModel("BYTES", [1]),
    "sum/1/model.onnx": writeOnnx({
      inputs: ["a", "b"].map((name) => ({ name, dataType: "FP32", shape: ["n", 3] })),
      outputs: [{ name: "c", dataType: "FP32", shape: ["n", 3] }],
      nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }],
    }),
    "sum/config.pbtxt": `max_batch_size: 4 ${one}\n`,
    "versions/1/model.onnx": pass("FP32"),
    "versions/7/model.onnx": pass("FP32"),
    "versions/config.pbtxt": `${batched}version_policy { all {} }\n`,
    "queued/1/model.onnx": pass("FP32"),
    "queued/config.pbtxt": `${batched}dynamic_batching {
      max_queue_delay_microseconds: 500 priority_levels: 3 default_priority_level: 2
      default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 2000000 allow_timeout_override: true max_queue_size: 8 }
    }\n`,
    "sequence/1/model.onnx": writeOnnx({
      inputs: [
        { name: "x", dataType: "FP32", shape: ["n", 2] },
        { name: "start", dataType: "FP32", shape: ["n", 1] },
      ],
      outputs: [{ name: "y", dataType: "FP32", shape: ["n", 2] }],
      nodes: [{ op: "Add", inputs: ["x", "start"], outputs: ["y"] }],
    }),
    "sequence/config.pbtxt": `max_batch_size: 4 ${one}
      input { name: "x" data_type: TYPE_FP32 dims: 2 } output { name: "y" data_type: TYPE_FP32 dims: 2 }
      sequence_batching {
        max_sequence_idle_microseconds: 100000
        control_input { name: "start" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } }
      }\n`,
    "ensemble/1/.keep": "",
    "ensemble/config.pbtxt": `platform: "ensemble" max_batch_size: 8
      input { name: "x" data_type: TYPE_FP32 dims: 2 } output { name: "y" data_type: TYPE_FP32 dims: 2 }
      ensemble_scheduling {
        step { model_name: "id_fp32" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } }
        step { model_name: "versions" model_version: -1 input_map { key: "x" value: "between" } output_map { key: "y" value: "y" } }
      }\n`,
  };
  for (const dataType of served) {
    const name = `id_${dataType.toLowerCase()}`;
    files[`${name}/1/model.onnx`] = pass(dataType);
    files[`${name}/config.pbtxt`] = `${batched}dynamic_batching {}\n`;
  }
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}
