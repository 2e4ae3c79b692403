import { ServableError, type JsonValue } from "../../errors.ts";
import { refuseUnknownKeys } from "../../known-keys.ts";
import { loadKeys, type LoadOptions } from "./inference-client.ts";

// `String.fromCharCode` takes its arguments on the stack.
const chunkLength = 32_768;

/**
 * The body of a load.
 *
 * @throws ServableError `invalid_argument` for files without a configuration, which no server takes
 */
export function loadBody(options: LoadOptions): string {
  refuseUnknownKeys(options, loadKeys, "A load");
  const { config, files } = options;
  const parameters: Record<string, JsonValue> = {};
  if (config !== undefined) parameters.config = typeof config === "string" ? config : JSON.stringify(config);
  for (const [path, bytes] of Object.entries(files ?? {})) {
    if (config === undefined) throw new ServableError("invalid_argument", "A load with `files` needs a `config`, too.");
    parameters[`file:${path}`] = base64(bytes);
  }
  return JSON.stringify({ parameters });
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let start = 0; start < bytes.length; start += chunkLength) {
    binary += String.fromCharCode(...bytes.subarray(start, start + chunkLength));
  }
  return btoa(binary);
}
