import { InferenceError } from "../../../protocol/inference-error.ts";
import type { LoadOverrides, ModelPlane } from "../../model-plane.ts";
import { booleanOf, objectOf, textOf, type JsonObject } from "./json-body.ts";
import type { Route } from "./routes.ts";

const filePrefix = "file:";

/** What `index` answers: one entry for each version, or for a model that was never loaded. */
export function answerIndex(plane: ModelPlane, { repository }: Route, body: JsonObject): Promise<unknown> {
  return plane.index(repository, body.ready === undefined ? false : booleanOf(body.ready));
}

/** Loads a model, with what the body puts in place of the repository's own. */
export async function loadModel(plane: ModelPlane, { repository, name }: Route, body: JsonObject): Promise<void> {
  await plane.load(repository, name, overridesOf(objectOf(body, "parameters") ?? {}));
}

/** Begins to unload a model. */
export async function unloadModel(plane: ModelPlane, { repository, name }: Route, body: JsonObject): Promise<void> {
  const { unload_dependents: dependents } = objectOf(body, "parameters") ?? {};
  await plane.unload(repository, name, dependents === undefined ? false : dependentsOf(dependents));
}

function dependentsOf(value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InferenceError("INTERNAL", "Unable to parse 'unload_dependents': attempt to access JSON non-boolean as boolean");
}

function overridesOf(parameters: JsonObject): LoadOverrides {
  let config: string | undefined;
  const files = new Map<string, Uint8Array>();
  for (const [name, value] of Object.entries(parameters)) {
    const text = textOf(value);
    if (name === "config") config = text;
    else if (name.startsWith(filePrefix)) files.set(name.slice(filePrefix.length), Buffer.from(text, "base64"));
    else throw new InferenceError("INTERNAL", "unexpected error on creating Triton parameter");
  }
  return { config, files: files.size === 0 ? undefined : files };
}
