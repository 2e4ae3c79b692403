import type { InferResponseStatistics } from "../protocol/model-info.ts";
import { Tally } from "./tally.ts";

/** What became of the n-th responses: of the last one of a request it is that there are no more, that it failed, or that nobody reads on. */
export type ResponseEnd = "empty_response" | "fail" | "cancel";

/** All n-th responses of a decoupled model. */
class ResponseTally {
  readonly compute_infer: Tally = new Tally();
  readonly compute_output: Tally = new Tally();
  readonly success: Tally = new Tally();
  readonly fail: Tally = new Tally();
  readonly empty_response: Tally = new Tally();
  readonly cancel: Tally = new Tally();
}

const mostKept = 1_000;

/** Responses of a decoupled model, counted by their place among those of their request, as Triton's statistics have it. */
export class ResponseStatistics {
  readonly #tallies: ResponseTally[] = [];

  /** The response at a place was made in so long, and written in so long. */
  given(index: number, inferMs: number, outputMs: number): void {
    const tally = this.#at(index);
    tally?.compute_infer.add(inferMs);
    tally?.compute_output.add(outputMs);
    tally?.success.add(inferMs + outputMs);
  }

  /** There is no response at a place, which was known after so long. */
  ended(index: number, end: ResponseEnd, ms: number): void {
    this.#at(index)?.[end].add(ms);
  }

  /** Under the names of the protocol, by place. */
  report(): Readonly<Record<string, InferResponseStatistics>> {
    const reportOf = (tally: ResponseTally): InferResponseStatistics => ({
      compute_infer: tally.compute_infer.duration,
      compute_output: tally.compute_output.duration,
      success: tally.success.duration,
      fail: tally.fail.duration,
      empty_response: tally.empty_response.duration,
      cancel: tally.cancel.duration,
    });
    return Object.fromEntries(this.#tallies.map((tally, index) => [String(index), reportOf(tally)]));
  }

  /** Undefined for places so far back that to keep them all would grow with the longest stream. */
  #at(index: number): ResponseTally | undefined {
    if (index >= mostKept) return undefined;
    while (this.#tallies.length <= index) this.#tallies.push(new ResponseTally());
    return this.#tallies[index];
  }
}
