import { messageOf, ServableError } from "../../errors.ts";

/** The module `onnxruntime-node`. */
export type OnnxRuntime = typeof import("onnxruntime-node");

let loading: Promise<OnnxRuntime> | undefined;

/**
 * Imports onnxruntime-node, the one optional peer dependency of this room, when the first model is loaded and not before.
 *
 * @throws ServableError `missing_dependency` when it is not installed, or its binary does not load on this machine
 */
export function loadOnnxRuntime(): Promise<OnnxRuntime> {
  loading ??= importOnnxRuntime();
  return loading;
}

async function importOnnxRuntime(): Promise<OnnxRuntime> {
  // It tells its maker of models that are loaded, else. In a worker this comes too late: the command line sets it for all of them.
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
  let runtime: OnnxRuntime;
  try {
    runtime = await import("onnxruntime-node");
  } catch (error) {
    throw new ServableError("missing_dependency", reasonOf(error), { cause: error });
  }
  // Its own log goes to standard error, past every logger; what fails is thrown as well. A user's choice is left alone.
  if (runtime.env.logLevel === undefined || runtime.env.logLevel === "warning") runtime.env.logLevel = "fatal";
  return runtime;
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ERR_MODULE_NOT_FOUND") {
    const [line] = messageOf(error).split("\n");
    return `onnxruntime-node is installed but does not load on this machine (${process.platform}, ${process.arch}): ${line ?? ""}`;
  }
  return (
    "ONNX models need the package onnxruntime-node, which is not installed: npm install onnxruntime-node. Where only the npm registry can " +
    "be reached, put the line onnxruntime-node-install=skip into .npmrc first; leave it out to get the libraries for NVIDIA GPUs."
  );
}
