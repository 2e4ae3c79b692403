import path from "node:path";
import { ServableError, formatPath } from "../../errors.ts";
import { OpenInferenceClient } from "../../client/open-inference/open-inference-client.ts";
import { modelTypes, type ModelTypesSource } from "../../client/open-inference/write-model-types.ts";
import { inspectRepository } from "../../server/inspect/inspect-repository.ts";
import type { InspectedModel } from "../../server/inspect/inspect-model.ts";
import { modelConfigFromJson } from "../../triton/config-from-json.ts";
import { dataTypeOfTriton } from "../../triton/data-types.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import { requireRepository } from "../models/require-repository.ts";
import { print } from "./print.ts";

/** Where types come from besides a repository. */
export interface TypesOptions {
  readonly url?: string;
  readonly token?: string;
}

/** Prints the types of a repository's models, or of those that a server has loaded. */
export async function printTypes(repository: string | undefined, { url, token }: TypesOptions): Promise<void> {
  if ((repository === undefined) === (url === undefined)) throw wrong("Say whose types: a model repository, or --url of a server.");
  const sources = url === undefined ? await ofRepository(repository ?? "") : await ofServer(url, token ?? process.env.SERVABLE_TOKEN);
  await print(modelTypes(sources));
}

async function ofRepository(repository: string): Promise<readonly ModelTypesSource[]> {
  await requireRepository(path.resolve(repository));
  const models = await inspectRepository(path.resolve(repository));
  if (models.length === 0) throw wrong(`${repository} holds no model: a repository has a folder for each one.`);
  const broken = models.flatMap(({ name, problems }) => problems.map((problem) => ({ name, problem })));
  const [first] = broken;
  if (first !== undefined) {
    const { path: field, message } = first.problem;
    const more = broken.length > 1 ? ` (and ${broken.length - 1} more)` : "";
    const text = `The model '${first.name}' would not load: ${formatPath(field)}: ${message}${more}. See: servable triton config --check ${repository}`;
    throw new ServableError("load_failed", text);
  }
  return models.map(sourceOf);
}

function sourceOf({ name, config }: InspectedModel): ModelTypesSource {
  const { input = [], output = [], maxBatchSize = 0 } = config ?? {};
  if (input.length === 0 || output.length === 0) {
    const why = "its tensors are only known when it is loaded. Ask a server that serves it, with --url";
    throw new ServableError(
      "load_failed",
      `The configuration of the model '${name}' has no ${input.length === 0 ? "inputs" : "outputs"}: ${why}.`,
    );
  }
  const described = (tensors: typeof output): ModelTypesSource["inputs"] =>
    tensors.map(({ name: tensor = "", dataType = "TYPE_INVALID", dims = [] }) => ({
      name: tensor,
      datatype: dataTypeOfTriton(dataType) ?? dataType,
      shape: maxBatchSize > 0 ? [-1, ...dims] : dims,
    }));
  return { name, inputs: described(input), outputs: described(output), optionalInputs: optionalOf(config ?? {}) };
}

async function ofServer(url: string, token: string | undefined): Promise<readonly ModelTypesSource[]> {
  const client = new OpenInferenceClient(url, { token });
  const names = new Set((await client.index({ ready: true })).map(({ name }) => name));
  if (names.size === 0) throw new ServableError("not_found", `${url} has no model that is ready.`);
  const sources: ModelTypesSource[] = [];
  for (const name of names) {
    const [metadata, config] = await Promise.all([client.modelMetadata(name), client.modelConfig(name)]);
    sources.push({ ...metadata, optionalInputs: optionalOf(modelConfigFromJson(JSON.stringify(config))) });
  }
  return sources;
}

function optionalOf({ input = [] }: ModelConfig): readonly string[] {
  return input.flatMap(({ name = "", optional }) => (optional === true ? [name] : []));
}

function wrong(message: string): ServableError {
  return new ServableError("invalid_argument", message);
}
