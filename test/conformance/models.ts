/** The model that the checks of this package's runtime run. */
import { TritonModelConfig, TritonTensor } from "servable/triton";
import { writeOnnx } from "../support/onnx-writer.ts";

const value = (name: string) => ({ name, dataType: "FP32", shape: ["n", 2] }) as const;
/** Its configuration. */
export const addSubConfig: TritonModelConfig = new TritonModelConfig({
  name: "add_sub",
  backend: "onnxruntime",
  maxBatchSize: 8,
  dynamicBatching: true,
  instanceGroup: [{ kind: "KIND_CPU", count: 1 }],
  inputs: [new TritonTensor("a", "TYPE_FP32", "FORMAT_NONE", [2]), new TritonTensor("b", "TYPE_FP32", "FORMAT_NONE", [2])],
  outputs: [new TritonTensor("sum", "TYPE_FP32", "FORMAT_NONE", [2]), new TritonTensor("difference", "TYPE_FP32", "FORMAT_NONE", [2])],
});

/** Its file: gives the sum and the difference of two rows. */
export const addSub: Uint8Array = writeOnnx({
  inputs: [value("a"), value("b")],
  outputs: [value("sum"), value("difference")],
  nodes: [
    { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
    { op: "Sub", inputs: ["a", "b"], outputs: ["difference"] },
  ],
});
