import { ServableError } from "../../errors.ts";
import type { ModelCaller, ModelRunOptions, TensorSpec } from "../../model/model.ts";
import { singleArray, type Model } from "../../model/model.ts";
import { namedArraysBatcher } from "../../service/array-batchers.ts";
import { checkBatch, type AnyBatcher, type GatheredRun, type RunPermits } from "../../service/batcher.ts";
import { isThenable } from "../../service/chain.ts";
import { CallContext } from "../../service/call-context.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { rowsOf, stackNamed } from "../../tensor/stack.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ResolvedBatchPolicy } from "../batching/batch-policy.ts";
import type { Arrivals } from "../batching/arrivals.ts";
import type { Owned } from "./plain-arrays.ts";
import { callerOf } from "../batching/caller.ts";
import { DynamicBatcher, type BatchEvent, type RunningBatch, type SubmitOptions } from "../batching/dynamic-batcher.ts";

/** One place where the model runs. */
export interface ModelWorker {
  /**
   * @param owned - what of the arrays the engine may hand over instead of copying it
   * @param batch - what runs; without one the run may take as long as it takes
   */
  run(inputs: NamedArrays, owned: Owned, batch?: RunningBatch): Promise<NamedArrays>;
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
  /** Who may still come; without it a batch waits for nobody. */
  readonly arrivals?: Arrivals | undefined;
  /** What the model says of itself, once it is loaded. */
  specs(): { readonly inputs: readonly TensorSpec[]; readonly outputs: readonly TensorSpec[] };
  readonly onBatch: (event: BatchEvent) => void;
}

type Waiting = Pick<DynamicBatcher<never, never>, "workerFreed" | "fewerExpected">;

/** A model that runs elsewhere, with the requests for it put together; what a service sees of that. */
export class GatheredModel {
  readonly model: Model;
  readonly #options: GatheredModelOptions;
  readonly #batchers: Waiting[] = [];
  /** What warmed the workers up, for those that are started later. */
  readonly #warm: NamedArrays[] = [];
  /** Warm-up requests that somebody else makes, too. */
  readonly #echoes = new WeakSet<NamedArrays>();
  #warming = false;
  /** Batches that are being put together, before a worker has them. */
  #preparing = 0;

  constructor(options: GatheredModelOptions) {
    this.#options = options;
    if (options.arrivals !== undefined) {
      options.arrivals.onFewer = () => {
        for (const batcher of this.#batchers) batcher.fewerExpected();
      };
    }
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

  /**
   * Says of a warm-up request that another worker with the same stages makes it, too: its run is to answer it, and the other's to warm the
   * workers up.
   */
  echo(request: NamedArrays): void {
    if (this.#warming) this.#echoes.add(request);
  }

  #isEcho(request: unknown): boolean {
    return this.#warming && typeof request === "object" && request !== null && this.#echoes.has(request as NamedArrays);
  }

  /** Warms up a worker that takes another one's place. */
  async prepare(worker: ModelWorker): Promise<void> {
    // One that fails here fails for requests, too, and those have somebody to tell.
    for (const inputs of this.#warm) await worker.run(inputs, false).catch(() => undefined);
  }

  /** Puts a batcher in front of the model. @param permits - without any a batch waits for an idle worker alone */
  gather<I, O>(batcher: AnyBatcher<I, O>, permits?: RunPermits): GatheredRun<I, O> {
    const { policy, onBatch, arrivals } = this.#options;
    const together = policy.maxRows > 1;
    let warmUps = 0;
    const dynamic: DynamicBatcher<I, O> = new DynamicBatcher<I, O>({
      policy,
      rowsOf: (request) => (together ? (batcher.rows?.(request) ?? 1) : 1),
      // Warm-up requests of several workers with stages come at once, and each is to run alone.
      keyOf: (request) => (this.#warming ? `warm-up ${(warmUps += 1)}` : together ? (batcher.key?.(request) ?? "") : ""),
      idle: () => this.#idle(permits, dynamic.waiting),
      expected: () => (policy.waitAlone ? Infinity : (arrivals?.expected ?? 0)),
      run: (requests, running) =>
        permits === undefined || this.#warming
          ? this.#run(batcher, requests, running)
          : this.#runPermitted(batcher, requests, running, permits),
      onBatch,
      onDone: () => {
        // A worker is idle again, and another batcher may wait for it: they take turns.
        for (const other of this.#batchers) if (other !== own) other.workerFreed();
      },
    });
    const own: Waiting = dynamic;
    if (permits !== undefined) {
      permits.onFreed = () => {
        dynamic.workerFreed();
      };
    }
    this.#batchers.push(own);
    if (arrivals === undefined) return (request, options) => dynamic.submit(request, submitOptions(options));
    return (request, options) => {
      const answer = dynamic.submit(request, submitOptions(options));
      arrivals.came(options?.context);
      const ended = (): void => {
        arrivals.ended(options?.context);
      };
      answer.then(ended, ended);
      return answer;
    };
  }

  #idle(permits: RunPermits | undefined, waiting: number): number {
    const idle = this.#options.idle() - this.#preparing;
    // Where there is no worker any more, what waits is to be told so.
    if (permits === undefined || this.#warming || idle <= 0 || idle === Infinity || waiting === 0) return idle;
    return permits.isFree ? 1 : 0;
  }

  async #runPermitted<I, O>(
    batcher: AnyBatcher<I, O>,
    requests: readonly I[],
    running: RunningBatch,
    permits: RunPermits,
  ): Promise<readonly O[]> {
    const end = permits.take();
    try {
      return await this.#run(batcher, requests, running);
    } finally {
      end();
    }
  }

  /** Up to the worker's having the batch nothing is awaited that need not be: until then it counts as idle. */
  async #run<I, O>(batcher: AnyBatcher<I, O>, requests: readonly I[], running: RunningBatch): Promise<readonly O[]> {
    const promised = batcher.batch(requests);
    let batch: Tensor | NamedArrays;
    if (isThenable(promised)) {
      batch = await this.#prepared(promised);
      running.checkWanted();
    } else {
      batch = promised;
    }
    checkBatch(batch);
    const owned = ownedOf(batcher, requests);
    const isEcho = requests.some((request) => this.#isEcho(request));
    const run = (named: NamedArrays): Promise<NamedArrays> => this.#runNamed(named, owned, running, isEcho);
    const outputs = batch instanceof Tensor ? await this.#runOne(batch, run) : await run(batch);
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

  #runOne(batch: Tensor, run: Model["run"]): Tensor | Promise<Tensor> {
    const { inputs, outputs } = this.#options.specs();
    return singleArray({ ...this.model, inputs, outputs, run }).run(batch);
  }

  #runNamed(batch: NamedArrays, owned: Owned, running: RunningBatch, isEcho: boolean): Promise<NamedArrays> {
    const worker = this.#options.leastBusy();
    if (worker === undefined) throw new ServableError("not_ready", "The model has no worker that is ready.", { retryAfterMs: 1_000 });
    return this.#warming && !isEcho ? this.#runEverywhere(batch) : worker.run(batch, owned, running);
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

function ownedOf<I, O>(batcher: AnyBatcher<I, O>, requests: readonly I[]): Owned {
  const [first] = requests;
  if (requests.length > 1) return batcher.fresh === true ? "arrays" : false;
  return first !== undefined && batcher.gives?.(first) === true ? "memory" : false;
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
