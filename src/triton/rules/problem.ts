import { ServableError, formatPath, type FieldIssue } from "../../errors.ts";

/** One thing that is wrong with a configuration: the field, under the names of `model_config.proto`, and what is wrong with it. */
export type ConfigProblem = FieldIssue;

/** What a configuration is judged by, besides itself. */
export interface ConfigFacts {
  /** The name of the model's folder, which is the model's name. */
  readonly name: string;
  /** The numbers of the GPUs that are there; where that is not known, whether there are those that are asked for is not judged. */
  readonly gpus?: readonly number[] | undefined;
  /** The names in the folder of a version, which tell the backend where the configuration does not; undefined where they are not known. */
  readonly files?: readonly string[] | undefined;
}

/** Gathers problems of the fields beneath one path. */
export interface Problems {
  /** Notes a problem. */
  add(path: ConfigProblem["path"], message: string): void;
  /** For the fields beneath a path. */
  at(...path: ConfigProblem["path"]): Problems;
}

/** Gathers problems into a list. */
export function gatherInto(list: ConfigProblem[], base: ConfigProblem["path"] = []): Problems {
  return {
    add: (path, message) => {
      list.push({ path: [...base, ...path], message });
    },
    at: (...path) => gatherInto(list, [...base, ...path]),
  };
}

/** All problems as one error. */
export function problemsError(name: string, problems: readonly ConfigProblem[]): ServableError {
  const lines = problems.map(({ path, message }) => `${formatPath(path)}: ${message}`);
  return new ServableError("invalid_config", `The configuration of model '${name}' is wrong: ${lines.join("; ")}.`, { issues: problems });
}

/** Names that stand more than once; a name that is not given is none. */
export function repeated(names: Iterable<string | undefined>): readonly string[] {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const name of names) {
    if (name !== undefined && name !== "") (seen.has(name) ? twice : seen).add(name);
  }
  return [...twice];
}

/** Whether a relative path stays in the folder that it starts from. A backslash is refused, too: on Windows it separates. */
export function staysInside(path: string): boolean {
  return path !== "" && !/^[/\\]|^[A-Za-z]:|[\0\\]/.test(path) && !path.split("/").includes("..");
}
