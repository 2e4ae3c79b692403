import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { InferenceSession } from "onnxruntime-node";
import { messageOf, ServableError } from "../../errors.ts";
import { assertMayBlock } from "../io-thread.ts";
import type { TensorSpec } from "../model.ts";
import { dataTypeOfOnnx } from "./data-types.ts";
import { missingFileReason } from "./missing-file.ts";
import { OnnxModel } from "./onnx-model.ts";
import { loadOnnxRuntime, type OnnxRuntime } from "./onnxruntime.ts";
import { resolveOnnxOptions, type OnnxModelOptions, type ResolvedOnnxOptions } from "./options.ts";
import { checkProviders, findBrokenProvider } from "./providers.ts";
import { reasonIn } from "./reason.ts";

/**
 * Loads an ONNX model. It blocks its thread while it loads, as every run does: call it in a service's `setup`.
 *
 * @param source - the path of a file, a `file:` URL, or the model's bytes
 * @param options - threads, execution providers and the like
 * @throws ServableError `load_failed` when the file is missing or holds no model that can be run; `missing_dependency` when
 * onnxruntime-node is not installed; `invalid_config` for an execution provider that is not there, an option that makes no sense, or
 * on a thread that does I/O; `invalid_argument` for a source that is none of the three
 * @example
 * ```ts
 * import { Tensor } from "servable";
 * import { loadOnnxModel } from "servable/onnx";
 *
 * const model = await loadOnnxModel(new URL("./add.onnx", import.meta.url));
 * const outputs = await model.run({ x: Tensor.from("FP32", [[1, 2]]) });
 * await model.close();
 * ```
 */
export async function loadOnnxModel(source: string | URL | Uint8Array, options: OnnxModelOptions = {}): Promise<OnnxModel> {
  const from = toFileOrBytes(source);
  const resolved = resolveOnnxOptions(options, typeof from === "string" ? basename(from).replace(/\.onnx$/i, "") : "model");
  const { name } = resolved;
  assertMayBlock(`Loading the model '${name}'`);
  const runtime = await loadOnnxRuntime();
  checkProviders(runtime, resolved);
  if (typeof from === "string") await checkFile(name, from, typeof source === "string" ? source : from);
  else if (from.byteLength === 0) throw loadFailed(name, "its bytes are empty");
  const session = await createSession(runtime, from, resolved);
  try {
    const inputs = session.inputMetadata.map((metadata) => toSpec(name, "input", metadata));
    const outputs = session.outputMetadata.map((metadata) => toSpec(name, "output", metadata));
    return new OnnxModel({ name, inputs, outputs, runtime, session });
  } catch (error) {
    await session.release();
    throw error;
  }
}

function toFileOrBytes(source: unknown): string | Uint8Array {
  // An environment variable that is not set, mostly.
  if (source === "") throw new ServableError("invalid_argument", "The path of the model is empty: pass the path of an .onnx file.");
  if (typeof source === "string" && !/^[a-z][a-z\d+.-]+:\/\//i.test(source)) return source;
  if (source instanceof Uint8Array) return source.buffer instanceof SharedArrayBuffer ? source.slice() : source;
  if (source instanceof URL || typeof source === "string") {
    const url = new URL(source);
    if (url.protocol === "file:") return fileURLToPath(url);
    throw new ServableError(
      "invalid_argument",
      `A model can be loaded from a file, not from '${url.protocol}' URLs. Fetch it and pass its bytes.`,
    );
  }
  throw new ServableError("invalid_argument", "The source of a model must be a path, a file: URL or a Uint8Array.");
}

async function checkFile(name: string, file: string, asked: string): Promise<void> {
  const found = await stat(file).catch(async (error: unknown) => {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const reason = code === "ENOENT" ? await missingFileReason(file, asked) : `the file ${basename(file)} cannot be read (${String(code)})`;
    throw loadFailed(name, reason, error);
  });
  if (!found.isFile()) throw loadFailed(name, `${basename(file)} is not a file`);
  if (found.size === 0) throw loadFailed(name, `the file ${basename(file)} is empty`);
}

async function createSession(runtime: OnnxRuntime, from: string | Uint8Array, options: ResolvedOnnxOptions): Promise<InferenceSession> {
  try {
    return typeof from === "string"
      ? await runtime.InferenceSession.create(from, options.session)
      : await runtime.InferenceSession.create(from, options.session);
  } catch (error) {
    const broken = await findBrokenProvider(runtime, options);
    if (broken !== undefined) throw broken;
    const unsupported = /^Unsupported data type: (\d+)$/.exec(messageOf(error))?.[1];
    if (unsupported !== undefined)
      throw unsupportedType(options.name, "an input or output", onnxTypeNames.get(unsupported) ?? `number ${unsupported}`);
    throw loadFailed(options.name, reasonIn(messageOf(error), typeof from === "string" ? from : undefined), error);
  }
}

/** Types of ONNX (TensorProto.DataType) that onnxruntime-node can't name. */
const onnxTypeNames: ReadonlyMap<string, string> = new Map([
  ["14", "COMPLEX64"],
  ["15", "COMPLEX128"],
  ["16", "BF16"],
  ["17", "FLOAT8E4M3FN"],
  ["18", "FLOAT8E4M3FNUZ"],
  ["19", "FLOAT8E5M2"],
  ["20", "FLOAT8E5M2FNUZ"],
]);

function toSpec(model: string, side: "input" | "output", metadata: InferenceSession.ValueMetadata): TensorSpec {
  const { name } = metadata;
  if (!metadata.isTensor) {
    throw loadFailed(model, `its ${side} '${name}' is no tensor but a sequence or a map; export it without (skl2onnx: zipmap=False)`);
  }
  const dataType = dataTypeOfOnnx(metadata.type);
  if (dataType === undefined) throw unsupportedType(model, `the ${side} '${name}'`, metadata.type);
  // A free dimension without a name is named "" by onnxruntime.
  return Object.freeze({ name, dataType, shape: Object.freeze(metadata.shape.map((length) => (length === "" ? -1 : length))) });
}

function unsupportedType(model: string, where: string, type: string): ServableError {
  return loadFailed(
    model,
    `${where} is of the type ${type}, which onnxruntime-node cannot pass; export it with FP16 or FP32 inputs and outputs`,
  );
}

function loadFailed(name: string, reason: string, cause?: unknown): ServableError {
  return new ServableError("load_failed", `The model '${name}' could not be loaded: ${reason}${reason.endsWith("?") ? "" : "."}`, {
    cause,
  });
}
