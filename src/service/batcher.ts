import { ServableError } from "../errors.ts";
import { checkArrays } from "../model/check-outputs.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ModelRunOptions } from "../model/model.ts";
import type { MaybePromise } from "./maybe-promise.ts";

/**
 * Puts requests together into one run of a model, and takes its outputs apart again. Which requests, and when, is the engine's to say.
 *
 * @typeParam I - one request
 * @typeParam O - one answer
 * @typeParam B - what the model takes: named arrays, or one array
 * @typeParam R - what the model gives: named arrays, or one array
 */
export interface Batcher<I, O, B extends Tensor | NamedArrays = NamedArrays, R extends Tensor | NamedArrays = B> {
  /** How many rows of a batch a request takes. @default 1 */
  rows?(request: I): number;
  /** Only requests of one key share a batch, such as those whose arrays have one shape. @default all may */
  key?(request: I): string;
  /** Makes the model's input of one request or more, all of one key. */
  batch(requests: readonly I[]): MaybePromise<B>;
  /** Makes the answers: one for each request, in their order. */
  unbatch(outputs: R, requests: readonly I[]): MaybePromise<readonly O[]>;
  /**
   * Whether what `batch` makes of two requests or more is newly made and nobody else's: large arrays are then handed over to the model's
   * thread instead of copied, and are gone here.
   *
   * @default false
   */
  readonly fresh?: boolean | undefined;
  /**
   * Whether the arrays of a request are nobody else's, nor is the memory that they are views on: where it runs alone, they are handed over to the
   * model's thread like what is fresh.
   *
   * @default no request gives its arrays away
   */
  gives?(request: I): boolean;
}

/** A batcher of whatever a model takes and gives. */
export interface AnyBatcher<I, O> extends Pick<Batcher<I, O>, "fresh"> {
  /** As in {@link Batcher}. */
  rows?(request: I): number;
  /** As in {@link Batcher}. */
  key?(request: I): string;
  /** As in {@link Batcher}. */
  batch(requests: readonly I[]): MaybePromise<Tensor | NamedArrays>;
  /** As in {@link Batcher}. */
  // As a method it takes every batcher: what `batch` gives and `unbatch` takes are of one model.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- an inference seam: `unknown` would refuse every typed batcher here
  unbatch(outputs: any, requests: readonly I[]): MaybePromise<readonly O[]>;
  /** As in {@link Batcher}. */
  gives?(request: I): boolean;
}

/** Checks what `batch` gave. @throws ServableError `invalid_output` for what is neither an array nor arrays by name */
export function checkBatch(batch: unknown): asserts batch is Tensor | NamedArrays {
  if (!(batch instanceof Tensor)) checkArrays("`batch`", batch);
}

/** Checks what `unbatch` gave: whatever has a length and elements. @throws ServableError `invalid_output` where there is not one for each request */
export function checkAnswers(answers: unknown, requests: number): asserts answers is readonly unknown[] {
  const count = (answers as Partial<ArrayLike<unknown>> | null | undefined)?.length;
  if (count === requests) return;
  throw new ServableError(
    "invalid_output",
    `\`unbatch\` must give a list with one answer for each of ${requests} requests; it gave ${typeof count === "number" ? `${count} answers` : "no list"}.`,
  );
}

/** Runs one request on a model, together with others. */
export type GatheredRun<I, O> = (request: I, options?: ModelRunOptions) => Promise<O>;

/** Who has a say in whether a model may run, beside its workers, such as models that share something with it. */
export interface RunPermits {
  /** Whether a run may begin now; asked only while one waits for nothing else. */
  readonly isFree: boolean;
  /** Begins a run. @returns what ends it, to be called once */
  take(): () => void;
  /** Told when what was not free may be; set by who waits. */
  onFreed: (() => void) | undefined;
}

/** Puts a batcher in front of a model that the engine has placed. */
export type Gather = <I, O>(batcher: AnyBatcher<I, O>, permits?: RunPermits) => GatheredRun<I, O>;
