/** The models that the contract's table of errors is asked of. */
import { identityModel, writeOnnx } from "../support/onnx-writer.ts";
import type { RepositoryFiles } from "./support.ts";

const tensor = (name: string, dims: string, more = "", type = "TYPE_FP32"): string =>
  `{ name: "${name}" data_type: ${type} dims: [ ${dims} ] ${more} }`;
const oneInstance = "instance_group [ { count: 1 kind: KIND_CPU } ]";

const plain = identityModel("FP32", [2, 3]);
const pair = writeOnnx({
  inputs: [
    { name: "a", dataType: "FP32", shape: ["batch", 2] },
    { name: "b", dataType: "FP32", shape: ["batch", 2] },
  ],
  outputs: [{ name: "sum", dataType: "FP32", shape: ["batch", 2] }],
  nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["sum"] }],
});
/** One request at a time, for a while each. */
const slow = `import { setTimeout as pause } from "node:timers/promises";
import { defineModel } from "servable/server";

export default defineModel({
  async run({ x }) {
    await pause(400);
    return { y: x };
  },
});
`;
const optional = `import { defineModel } from "servable/server";

export default defineModel({ run: ({ x }) => ({ y: x }) });
`;

/** A repository, some of whose models do not load. */
export const contractModels: RepositoryFiles = {
  "plain/1/model.onnx": plain,
  "plain/config.pbtxt": `backend: "onnxruntime" input ${tensor("x", "2, 3")} output ${tensor("y", "2, 3")} ${oneInstance}`,
  "pair/1/model.onnx": pair,
  "pair/config.pbtxt": `backend: "onnxruntime" max_batch_size: 8
    input [ ${tensor("a", "2")}, ${tensor("b", "2")} ] output [ ${tensor("sum", "2")} ] ${oneInstance}`,
  "texts/1/model.onnx": identityModel("BYTES", ["n"]),
  "texts/config.pbtxt": `backend: "onnxruntime" input ${tensor("x", "-1", "", "TYPE_STRING")} output ${tensor("y", "-1", "", "TYPE_STRING")}`,
  "optional/1/model.ts": optional,
  "optional/config.pbtxt": `backend: "typescript" input [ ${tensor("x", "1")}, ${tensor("more", "1", "optional: true")} ] output ${tensor("y", "1")}`,
  "slow/1/model.ts": slow,
  "slow/config.pbtxt": `backend: "typescript" max_batch_size: 1 input ${tensor("x", "1")} output ${tensor("y", "1")} ${oneInstance}
    dynamic_batching { default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 150000 max_queue_size: 1 } }`,
  "part/1/model.onnx": identityModel("FP32", ["batch", 2]),
  "part/config.pbtxt": `backend: "onnxruntime" max_batch_size: 2 input ${tensor("x", "2")} output ${tensor("y", "2")} ${oneInstance}`,
  "whole/1/.keep": "",
  "whole/config.pbtxt": `platform: "ensemble" max_batch_size: 8 input ${tensor("in", "2")} output ${tensor("out", "2")}
    ensemble_scheduling { step { model_name: "part" model_version: -1
      input_map { key: "x" value: "in" } output_map { key: "y" value: "out" } } }`,
  "cut/1/model.onnx": plain.subarray(0, plain.byteLength / 2),
  "cut/config.pbtxt": `backend: "onnxruntime" input ${tensor("x", "2, 3")} output ${tensor("y", "2, 3")}`,
  "garbled/1/model.onnx": plain,
  "garbled/config.pbtxt": 'backend: "onnxruntime" nonsense {{{',
  "nothing/config.pbtxt": 'backend: "onnxruntime"',
};
