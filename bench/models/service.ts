import { Tensor, defineInference } from "servable";
import { loadOnnxModel } from "servable/onnx";
import { z } from "zod";

/** What the bench serves: a row of 64 numbers in, 10 numbers out. */
export const predict = defineInference({
  name: "predict",
  input: z.object({ x: z.array(z.number()).length(64) }),
  output: z.object({ y: z.array(z.number()).length(10) }),
  model: () => loadOnnxModel(process.env.BENCH_MODEL ?? ""),
  policy: { batching: { maxRows: 16 }, ...(process.env.BENCH_PLACEMENT === "inline" ? { placement: "inline" } : {}) },
  preprocess: ({ x }) => ({ x: new Tensor("FP32", [1, 64], new Float32Array(x)) }),
  postprocess: ({ y }) => ({ y: Array.from(y?.as("FP32").data ?? []) }),
});
