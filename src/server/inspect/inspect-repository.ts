import { listModels } from "../../triton/repository/model-folder.ts";
import type { ConfigProblem } from "../../triton/rules/problem.ts";
import { dependenciesOf } from "../prepare-model.ts";
import { inspectModel, type InspectedModel } from "./inspect-model.ts";

/**
 * Looks at every model of a repository, and at whether what ensembles are made of is there.
 *
 * @throws ServableError `load_failed` where the repository can't be read; what is wrong with a model stands in the result
 */
export async function inspectRepository(folder: string): Promise<readonly InspectedModel[]> {
  const names = await listModels(folder);
  const models: InspectedModel[] = [];
  // One after the other: each may load gigabytes.
  for (const name of names) models.push(await inspectModel(folder, name));
  const there = new Map(models.map((model) => [model.name, model]));
  return models.map((model) => ({ ...model, problems: [...model.problems, ...stepProblems(model, there)] }));
}

function stepProblems({ name, config }: InspectedModel, there: ReadonlyMap<string, InspectedModel>): readonly ConfigProblem[] {
  if (config === undefined) return [];
  const missing = dependenciesOf(config).filter((model) => model !== "" && !there.has(model));
  const circle = circleFrom(name, there);
  return [
    ...missing.map((model) => ({ path: ["ensemble_scheduling", "step"], message: `there is no model '${model}' in the repository` })),
    ...(circle === undefined ? [] : [{ path: ["ensemble_scheduling", "step"], message: `it is a part of itself: ${circle.join(" → ")}` }]),
  ];
}

function circleFrom(start: string, there: ReadonlyMap<string, InspectedModel>): readonly string[] | undefined {
  const seen = new Set<string>();
  const follow = (name: string, way: readonly string[]): readonly string[] | undefined => {
    const config = there.get(name)?.config;
    for (const next of config === undefined ? [] : dependenciesOf(config)) {
      if (next === start) return [...way, next];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = follow(next, [...way, next]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return follow(start, [start]);
}
