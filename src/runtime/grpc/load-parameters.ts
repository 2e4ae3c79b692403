import type { inference } from "../../protocol/grpc/generated/messages.js";
import { InferenceError } from "../../protocol/inference-error.ts";
import type { LoadOverrides } from "../model-plane.ts";
import { isSet } from "../../protocol/grpc/is-set.ts";

type WireParameters = Readonly<Record<string, inference.ModelRepositoryParameter.$Properties>>;

const fileKey = "file:";

/** What a load is to use instead of the repository's own. @throws InferenceError `INVALID_ARG` */
export function readLoadParameters(parameters: WireParameters): LoadOverrides {
  let config: string | undefined;
  const files = new Map<string, Uint8Array>();
  for (const [name, parameter] of Object.entries(parameters)) {
    if (name === "config") {
      if (!isSet(parameter.stringParam)) throw wrongKind(name, "string_param");
      config = parameter.stringParam;
    } else if (name.startsWith(fileKey)) {
      if (!isSet(parameter.bytesParam)) throw wrongKind(name, "bytes_param");
      files.set(name.slice(fileKey.length), parameter.bytesParam);
    } else {
      throw new InferenceError("INVALID_ARG", `unrecognized load parameter '${name}'.`);
    }
  }
  return { config, ...(files.size > 0 ? { files } : {}) };
}

/** Whether models that only an ensemble uses are to be unloaded with it. @throws InferenceError `INVALID_ARG` */
export function readUnloadParameters(parameters: WireParameters): boolean {
  const parameter = Object.hasOwn(parameters, "unload_dependents") ? parameters.unload_dependents : undefined;
  if (parameter === undefined) return false;
  if (!isSet(parameter.boolParam)) throw wrongKind("unload_dependents", "bool_param");
  return parameter.boolParam;
}

function wrongKind(name: string, kind: string): InferenceError {
  return new InferenceError("INVALID_ARG", `invalid value type for '${name}' parameter, expected ${kind}.`);
}
