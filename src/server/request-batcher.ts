import { namedArraysBatcher } from "../service/array-batchers.ts";
import type { Batcher } from "../service/batcher.ts";
import { ServableError } from "../errors.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { splitNamed } from "../tensor/stack.ts";
import type { ModelRequest } from "./model-request.ts";
import type { RaggedBatching } from "./ragged.ts";
import type { VersionStatistics } from "./statistics.ts";

/** What a {@link requestBatcher} tells, and how it treats inputs that it may not simply stack. */
export interface RequestBatcherOptions {
  readonly statistics: VersionStatistics;
  /** Called with each request when it leaves the queue. */
  readonly onTaken: (request: ModelRequest) => void;
  /** For models whose requests' rows can't simply be stacked. */
  readonly ragged: RaggedBatching | undefined;
  /** Whether all that a request runs with came with it. */
  readonly giveInputs: boolean;
  /** Arrays that tell the model of its requests, beside their inputs. */
  readonly tell?: ((requests: readonly ModelRequest[]) => NamedArrays) | undefined;
}

const arrays = namedArraysBatcher();

/** Puts the requests of a model together as its configuration says, and takes the times of that. */
export function requestBatcher({
  statistics,
  onTaken,
  ragged,
  giveInputs,
  tell,
}: RequestBatcherOptions): Batcher<ModelRequest, NamedArrays> {
  return {
    rows: ({ rows }) => Math.max(1, rows),
    key: ({ key }) => key,
    batch(requests) {
      const now = performance.now();
      for (const request of requests) {
        request.batchedAt = now;
        onTaken(request);
      }
      const inputs = ragged === undefined ? stacked(requests) : ragged.join(requests);
      const [first] = requests;
      if (first !== undefined) first.inputMs = performance.now() - now;
      return tell === undefined ? inputs : { ...inputs, ...tell(requests) };
    },
    unbatch(outputs, requests) {
      const [first] = requests;
      if (first === undefined) return [];
      const { batchedAt, inputMs } = first;
      const since = performance.now();
      const inferMs = since - batchedAt - inputMs;
      const parts = apart(outputs, requests, ragged);
      const outputMs = performance.now() - since;
      let rows = 0;
      for (const request of requests) {
        request.inputMs = inputMs;
        request.inferMs = inferMs;
        request.outputMs = outputMs;
        rows += Math.max(1, request.rows);
      }
      statistics.ran(rows, inputMs, inferMs, outputMs);
      return parts;
    },
    fresh: true,
    // What else is put beside its inputs, such as states, may have to be kept.
    gives: ({ source }) => giveInputs && source.owned === true,
  };
}

function stacked(requests: readonly ModelRequest[]): NamedArrays {
  const [first] = requests;
  if (first !== undefined && requests.length === 1) return first.inputs;
  // Stacked at once, since none of it has to be waited for.
  return arrays.batch(requests.map(({ inputs }) => inputs)) as NamedArrays;
}

function apart(outputs: NamedArrays, requests: readonly ModelRequest[], ragged: RaggedBatching | undefined): readonly NamedArrays[] {
  try {
    if (ragged !== undefined) return ragged.split(outputs, requests);
    if (requests.length === 1) return [outputs];
    return splitNamed(
      outputs,
      requests.map(({ rows }) => rows),
    );
  } catch (thrown) {
    if (!ServableError.isInstance(thrown)) throw thrown;
    throw new ServableError("invalid_output", `The model does not give one row for each that it got: ${thrown.message}`, { cause: thrown });
  }
}
