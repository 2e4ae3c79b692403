import type { ModelConfig, ModelEnsembling } from "../model-config.ts";
import type { Problems } from "./problem.ts";

/** A step with the tensors of the ensemble that it reads and writes. */
interface Step {
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** The rules of ensembles: what may not stand beside one, and a graph in which every tensor is written once and read. */
export function checkEnsemble(config: ModelConfig, ensemble: ModelEnsembling, problems: Problems): void {
  if ((config.platform ?? "") !== "ensemble") problems.add(["platform"], "it must be 'ensemble' where ensemble_scheduling is given");
  if ((config.backend ?? "") !== "") problems.add(["backend"], "an ensemble has none");
  if ((config.instanceGroup ?? []).length > 0) problems.add(["instance_group"], "an ensemble has none");
  if (config.optimization !== undefined) problems.add(["optimization"], "an ensemble has none");
  if ((config.modelWarmup ?? []).length > 0) problems.add(["model_warmup"], "an ensemble has none");

  const own = problems.at("ensemble_scheduling");
  const { step = [] } = ensemble;
  if (step.length === 0) own.add(["step"], "at least one step must be given");
  step.forEach(({ modelName = "", inputMap = {}, outputMap = {} }, index) => {
    const place = own.at("step", index);
    if (modelName === "") place.add(["model_name"], "it must be given");
    if (modelName !== "" && modelName === config.name) place.add(["model_name"], "an ensemble can't be a step of itself");
    if (Object.keys(inputMap).length === 0) place.add(["input_map"], "it must be given");
    if (Object.keys(outputMap).length === 0) place.add(["output_map"], "it must be given");
  });
  if (step.length > 0) checkGraph(config, ensemble, problems);
}

function checkGraph(config: ModelConfig, ensemble: ModelEnsembling, problems: Problems): void {
  const inputs = new Set((config.input ?? []).map(({ name = "" }) => name));
  const outputs = new Set((config.output ?? []).map(({ name = "" }) => name));
  const steps = (ensemble.step ?? []).map(({ inputMap = {}, outputMap = {} }): Step => ({
    reads: Object.values(inputMap),
    writes: Object.values(outputMap),
  }));
  const read = new Set(steps.flatMap(({ reads }) => reads));
  const written = new Set<string>();
  steps.forEach(({ writes }, index) => {
    for (const tensor of writes) {
      const place = ["ensemble_scheduling", "step", index, "output_map"];
      if (inputs.has(tensor)) problems.add(place, `'${tensor}' is an input of the ensemble, so no step may write it`);
      else if (written.has(tensor)) problems.add(place, `'${tensor}' is written more than once`);
      written.add(tensor);
    }
  });

  const ready = readyTensors(inputs, steps);
  (config.input ?? []).forEach(({ name = "" }, index) => {
    if (!read.has(name)) problems.add(["input", index], `no step reads '${name}'`);
  });
  (config.output ?? []).forEach(({ name = "" }, index) => {
    if (!ready.has(name)) problems.add(["output", index], `'${name}' is never written${blockedBy(name, steps, ready, written)}`);
  });
  for (const tensor of new Set([...written, ...read])) {
    if (inputs.has(tensor) || outputs.has(tensor)) continue;
    const path = ["ensemble_scheduling"];
    if (!written.has(tensor)) problems.add(path, `'${tensor}' is read but never written`);
    else if (!read.has(tensor)) problems.add(path, `'${tensor}' is written but never read, and is no output`);
    else if (!ready.has(tensor)) problems.add(path, `'${tensor}' is never written${blockedBy(tensor, steps, ready, written)}`);
  }
}

/** The tensors that are there in the end: inputs, and what steps write whose own inputs are there. */
function readyTensors(inputs: ReadonlySet<string>, steps: readonly Step[]): ReadonlySet<string> {
  const ready = new Set(inputs);
  const readers = new Map<string, number[]>();
  const missing = steps.map(({ reads }) => new Set(reads).size);
  steps.forEach(({ reads }, index) => {
    for (const tensor of new Set(reads)) readers.set(tensor, [...(readers.get(tensor) ?? []), index]);
  });
  const waiting = [...ready];
  for (let tensor = waiting.pop(); tensor !== undefined; tensor = waiting.pop()) {
    for (const index of readers.get(tensor) ?? []) {
      missing[index] = (missing[index] ?? 0) - 1;
      if (missing[index] > 0) continue;
      for (const next of steps[index]?.writes ?? []) {
        if (ready.has(next)) continue;
        ready.add(next);
        waiting.push(next);
      }
    }
  }
  return ready;
}

/** Why a tensor is never there: the first one on the way back that nobody writes, or that waits for itself. */
function blockedBy(tensor: string, steps: readonly Step[], ready: ReadonlySet<string>, written: ReadonlySet<string>): string {
  if (!written.has(tensor)) return "";
  const seen = new Set<string>();
  for (let at: string | undefined = tensor; at !== undefined;) {
    if (seen.has(at)) return `: the steps that make it wait for each other ('${at}')`;
    if (!written.has(at)) return `: '${at}', which it depends on, is written by no step`;
    seen.add(at);
    const current: string = at;
    at = steps.find(({ writes }) => writes.includes(current))?.reads.find((name) => !ready.has(name));
  }
  return "";
}
