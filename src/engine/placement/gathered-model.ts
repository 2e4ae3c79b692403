import { ServableError } from "../../errors.ts";
import type { ModelCaller, ModelRunOptions, TensorSpec } from "../../model/model.ts";
import { singleArray, type Model } from "../../model/model.ts";
import { namedArraysBatcher } from "../../service/array-batchers.ts";
import type { AnyBatcher, GatheredRun } from "../../service/batcher.ts";
import { CallContext } from "../../service/call-context.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { rowsOf, stackNamed } from "../../tensor/stack.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ResolvedBatchPolicy } from "../batching/batch-policy.ts";
import { callerOf } from "../batching/caller.ts";
import { DynamicBatcher, type BatchEvent, type RunningBatch, type SubmitOptions } from "../batching/dynamic-batcher.ts";

/** One place where the model runs. */
export interface ModelWorker {
  /**
   * @param owned - whether the engine may hand the arrays over instead of copying them
   * @param batch - what runs; without one the run may take as long as it takes
   */
  run(inputs: NamedArrays, owned: boolean, batch?: RunningBatch): Promise<NamedArrays>;
}

/** What a {@link GatheredModel} is made of. */
export interface GatheredModelOptions {
  readonly service: string;
  readonly policy: ResolvedBatchPolicy;
  /** How many workers are ready and have nothing to do. */
  idle(): number;
  /** The ready worker with the least to do. */
  leastBusy(): ModelWorker | undefined;
  /** All that are ready. */
  workers(): readonly ModelWorker[];
  /** How many requests are admitted and not done. */
  admitted(): number;
  /** What the model says of itself, once it is loaded. */
  specs(): { readonly inputs: readonly TensorSpec[]; readonly outputs: readonly TensorSpec[] };
  readonly onBatch: (event: BatchEvent) => void;
}

type Waiting = Pick<DynamicBatcher<never, never>, "inside" | "workerFreed">;

/** A model that runs elsewhere, with the requests for it put together; what a service sees of that. */
export class GatheredModel {
  readonly model: Model;
  readonly #options: GatheredModelOptions;
  readonly #batchers: Waiting[] = [];
  /** What warmed the workers up, for those that are started later. */
  #warm: NamedArrays[] = [];
  #warming = false;
  /** Batches that are being put together, before a worker has them. */
  #preparing = 0;

  constructor(options: GatheredModelOptions) {
    this.#options = options;
    let run: GatheredRun<NamedArrays, NamedArrays> | undefined;
    this.model = {
      name: options.service,
      get inputs() {
        return options.specs().inputs;
      },
      get outputs() {
        return options.specs().outputs;
      },
      run: (inputs, runOptions) => {
        run ??= this.gather(namedArraysBatcher());
        return run(inputs, runOptions);
      },
      close: () => undefined,
    };
  }

  /** To be called when a worker is idle again. */
  workerFreed(): void {
    for (const batcher of this.#batchers) batcher.workerFreed();
  }

  /** While `work` is done (the start of the stages, with their warm-up requests), each run of the model is run by every worker, alone and in a full batch. */
  async warmUp(work: () => Promise<void>): Promise<void> {
    this.#warming = true;
    try {
      await work();
    } finally {
      this.#warming = false;
    }
  }

  /** Warms up a worker that takes another one's place. */
  async prepare(worker: ModelWorker): Promise<void> {
    // One that fails here fails for requests, too, and those have somebody to tell.
    for (const inputs of this.#warm) await worker.run(inputs, false).catch(() => undefined);
  }

  /** Puts a batcher in front of the model. */
  gather<I, O>(batcher: AnyBatcher<I, O>): GatheredRun<I, O> {
    const { policy, onBatch } = this.#options;
    const together = policy.maxRows > 1;
    const dynamic = new DynamicBatcher<I, O>({
      policy,
      rowsOf: (request) => (together ? (batcher.rows?.(request) ?? 1) : 1),
      keyOf: (request) => (together ? (batcher.key?.(request) ?? "") : ""),
      idle: () => this.#options.idle() - this.#preparing,
      expected: () => (policy.waitAlone ? Infinity : this.#options.admitted() - this.#inside()),
      run: (requests, running) => this.#run(batcher, requests, running),
      onBatch: (event) => {
        onBatch(event);
        // A worker is idle again, and another batcher may wait for it: they take turns.
        for (const other of this.#batchers) if (other !== own) other.workerFreed();
      },
    });
    const own: Waiting = dynamic;
    this.#batchers.push(own);
    return (request, options) => dynamic.submit(request, submitOptions(options));
  }

  #inside(): number {
    let sum = 0;
    for (const batcher of this.#batchers) sum += batcher.inside;
    return sum;
  }

  /** Up to the worker's having the batch nothing is awaited that need not be: until then it counts as idle. */
  async #run<I, O>(batcher: AnyBatcher<I, O>, requests: readonly I[], running: RunningBatch): Promise<readonly O[]> {
    const promised = batcher.batch(requests);
    const batch = promised instanceof Promise ? await this.#prepared(promised) : promised;
    const owned = batcher.fresh === true && requests.length > 1;
    const outputs = batch instanceof Tensor ? await this.#runOne(batch, owned, running) : await this.#runNamed(batch, owned, running);
    return batcher.unbatch(outputs, requests);
  }

  async #prepared<T>(batch: Promise<T>): Promise<T> {
    this.#preparing += 1;
    try {
      return await batch;
    } finally {
      this.#preparing -= 1;
    }
  }

  #runOne(batch: Tensor, owned: boolean, running: RunningBatch): Tensor | Promise<Tensor> {
    const { inputs, outputs } = this.#options.specs();
    const run = (named: NamedArrays): Promise<NamedArrays> => this.#runNamed(named, owned, running);
    return singleArray({ ...this.model, inputs, outputs, run }).run(batch);
  }

  #runNamed(batch: NamedArrays, owned: boolean, running: RunningBatch): Promise<NamedArrays> {
    const worker = this.#options.leastBusy();
    if (worker === undefined) throw new ServableError("not_ready", "The model has no worker that is ready.", { retryAfterMs: 1_000 });
    if (this.#warming) return this.#runEverywhere(batch);
    return worker.run(batch, owned, running);
  }

  async #runEverywhere(batch: NamedArrays): Promise<NamedArrays> {
    const full = fillUp(batch, this.#options.policy.maxRows);
    this.#warm.push(batch);
    const workers = this.#options.workers();
    const results = await Promise.all(workers.map((worker) => worker.run(batch, false)));
    if (full !== undefined) {
      // Whose rows do not lie along axis 0 can't be filled up like this, and is warm enough.
      const ran = await Promise.allSettled(workers.map((worker) => worker.run(full, false)));
      if (ran.every(({ status }) => status === "fulfilled")) this.#warm.push(full);
    }
    const [first] = results;
    if (first === undefined) throw new ServableError("not_ready", "The model has no worker that is ready.");
    return first;
  }
}

/** The same rows again and again, as many as a batch may have; undefined where it holds no second copy, or rows are not to be had. */
function fillUp(batch: NamedArrays, maxRows: number): NamedArrays | undefined {
  if (maxRows === 1) return undefined;
  let copies: number;
  try {
    copies = Math.floor(maxRows / rowsOf(batch));
  } catch {
    return undefined;
  }
  return copies > 1 && Number.isFinite(copies) ? stackNamed(Array.from({ length: copies }, () => batch)) : undefined;
}

function submitOptions(options: ModelRunOptions = {}): SubmitOptions {
  const { context, signal, priority } = options;
  if (signal === undefined && context instanceof CallContext) return { priority, caller: context, deadline: context.expiresAt };
  const watched = signal ?? context?.signal;
  return { priority, caller: watched && callerOf(watched), deadline: deadlineOf(context) };
}

/** The batcher's clock is steady, a request's deadline is of the calendar. */
function deadlineOf(context: ModelCaller | undefined): number {
  if (context === undefined || context.deadline === Infinity) return Infinity;
  return performance.now() + (context.deadline - Date.now());
}
