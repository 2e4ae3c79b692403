import { ServableError, type JsonValue } from "../errors.ts";
import type { Answer, Source } from "./answer.ts";
import type { BatchResult } from "./client-types.ts";
import { isJsonObject } from "./json.ts";
import { errorFromProblem } from "./problem.ts";

/**
 * Reads the answer to a batch.
 *
 * @throws ServableError `internal` where it is not one result for each input
 */
export function readBatch(answer: Answer, count: number, { origin, service }: Source): BatchResult<unknown>[] {
  const list = answer.kind === "value" ? answer.value : undefined;
  if (!Array.isArray(list) || list.length !== count) {
    throw new ServableError("internal", `${service} at ${origin} did not answer a batch of ${count} with a list of ${count} results.`);
  }
  return list.map((entry: JsonValue) => {
    if (isJsonObject(entry) && "output" in entry) return { output: entry.output };
    return { error: errorFromProblem(isJsonObject(entry) ? (entry.error ?? null) : null) };
  });
}
