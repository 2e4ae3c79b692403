import type { ModelConfig } from "../model-config.ts";
import { checkEnsemble } from "./ensemble.ts";
import { checkInstances, checkMetrics, checkVersionPolicy, checkWarmup } from "./instances.ts";
import { platformsOf } from "./platforms.ts";
import { gatherInto, type ConfigFacts, type ConfigProblem, type Problems } from "./problem.ts";
import { checkScheduling } from "./scheduling.ts";
import { checkBatchTensors, checkTensors } from "./tensors.ts";

/**
 * Judges a configuration as Triton does when it loads a model, but tells all that is wrong at once. It is meant for one whose gaps are
 * filled (`withConfigDefaults`); of a gap that would be filled it says nothing.
 */
export function validateModelConfig(config: ModelConfig, facts: ConfigFacts): readonly ConfigProblem[] {
  const list: ConfigProblem[] = [];
  const problems = gatherInto(list);
  const { name = "", maxBatchSize = 0, ensembleScheduling } = config;
  if (name !== "" && name !== facts.name) problems.add(["name"], `'${name}' is not the name of the model's folder, '${facts.name}'`);
  if (maxBatchSize < 0) problems.add(["max_batch_size"], `it must be 0 or more, not ${maxBatchSize}`);
  if (ensembleScheduling === undefined) checkBackend(config, facts, problems);
  else checkEnsemble(config, ensembleScheduling, problems);
  checkVersionPolicy(config, problems);
  checkTensors(config, problems);
  checkBatchTensors(config, problems);
  checkScheduling(config, problems);
  if (ensembleScheduling === undefined) {
    checkInstances(config, facts, problems);
    checkWarmup(config, problems);
  }
  checkMetrics(config, problems);
  return list;
}

function checkBackend({ backend = "", platform = "" }: ModelConfig, facts: ConfigFacts, problems: Problems): void {
  if (platform === "ensemble") {
    problems.add(["ensemble_scheduling"], "it must be given where platform is 'ensemble'");
    if (backend !== "") problems.add(["backend"], "an ensemble has none");
    return;
  }
  if (backend === "") {
    // The files of a version may tell it.
    if (platform === "" && facts.files === undefined) return;
    problems.add(
      ["backend"],
      platform === "" ? "it must be given (or platform)" : `it must be given; the platform '${platform}' tells none`,
    );
    return;
  }
  const known = platformsOf(backend);
  if (known !== undefined && platform !== "" && !known.includes(platform)) {
    problems.add(
      ["platform"],
      `'${platform}' does not go with the backend '${backend}', but ${known.map((one) => `'${one}'`).join(" or ")} does`,
    );
  }
}
