import { messageOf, ServableError } from "../../errors.ts";
import type { OnnxRuntime } from "./onnxruntime.ts";
import type { OnnxExecutionProviderOptions, ResolvedOnnxOptions } from "./options.ts";
import { reasonIn } from "./reason.ts";

/** The smallest model there is: a graph "probe" of one Identity on one float32 (ONNX IR 8, operators 13). */
export const probeModel: Uint8Array = Buffer.from(
  "CAg6OwoQCgF4EgF5IghJZGVudGl0eRIFcHJvYmVaDwoBeBIKCggIARIECgIIAWIPCgF5EgoKCAgBEgQKAggBQgQKABAN",
  "base64",
);

/**
 * Refuses execution providers that this build of onnxruntime-node does not have.
 *
 * @throws ServableError `invalid_config` that lists those it has
 */
export function checkProviders(runtime: OnnxRuntime, { name, executionProviders }: ResolvedOnnxOptions): void {
  const known = runtime.listSupportedBackends();
  for (const provider of executionProviders) {
    if (known.some((backend) => backend.name === provider.name)) continue;
    throw unavailable(runtime, name, provider, `this build of onnxruntime-node (${process.platform}, ${process.arch}) does not have it`);
  }
}

/**
 * Finds out, after a model did not load, whether that was an execution provider's fault: one that can't run the smallest model there is.
 *
 * @returns undefined when they all can, so that it was the model
 */
export async function findBrokenProvider(runtime: OnnxRuntime, options: ResolvedOnnxOptions): Promise<ServableError | undefined> {
  for (const provider of options.executionProviders) {
    if (provider.name === "cpu") continue;
    const { name, deviceId } = provider;
    try {
      const session = await runtime.InferenceSession.create(probeModel, {
        ...options.session,
        executionProviders: [deviceId === undefined ? name : { name, deviceId }],
      });
      await session.release();
    } catch (error) {
      return unavailable(runtime, options.name, provider, reasonIn(messageOf(error)), error);
    }
  }
  return undefined;
}

function unavailable(
  runtime: OnnxRuntime,
  model: string,
  { name }: OnnxExecutionProviderOptions,
  reason: string,
  cause?: unknown,
): ServableError {
  const known = runtime.listSupportedBackends();
  const others = known.filter((backend) => backend.bundled && backend.name !== name).map((backend) => backend.name);
  const notBundled = known.some((backend) => backend.name === name && !backend.bundled);
  const hint = notBundled
    ? " Its libraries are not part of the npm package: they come when onnxruntime-node is installed without the line onnxruntime-node-install=skip " +
      "in .npmrc, and the GPU's driver must be there."
    : "";
  return new ServableError(
    "invalid_config",
    `The model '${model}' asks for the execution provider '${name}', which is not available: ${reason}.${hint} This package carries: ${others.join(", ")}.`,
    { details: { available: others }, cause },
  );
}
