/**
 * ONNX models, run by onnxruntime-node: an optional peer dependency that is imported when the first model is loaded.
 *
 * @module
 */
export { loadOnnxModel } from "./model/onnx/load-onnx-model.ts";
export { OnnxModel } from "./model/onnx/onnx-model.ts";
export type { OnnxExecutionProvider, OnnxExecutionProviderOptions, OnnxModelOptions } from "./model/onnx/options.ts";
export type { Model, ModelRunOptions, TensorSpec } from "./model/model.ts";
