import type { BatchRunEvent, EngineLogger, Observer, RequestEvent, WorkerEvent } from "./observer.ts";

const now = Promise.resolve();

/** All who see what an engine does. */
export class Observers {
  readonly #observers: readonly Observer[];
  readonly #log: EngineLogger;
  /** What has ended and was not yet told of. */
  #ended: RequestEvent[] = [];

  constructor(observers: readonly Observer[], log: EngineLogger) {
    this.#observers = observers;
    this.#log = log;
  }

  /** The requests of a batch end together, and are told of together: one by one, between all else that is done for them, it costs twice as much. */
  requestFinished(event: RequestEvent): void {
    this.#ended.push(event);
    // Behind the others' way to here, and before anybody who waits for an answer goes on.
    if (this.#ended.length === 1) void now.then(this.#tellEnded);
  }

  batchRun(event: BatchRunEvent): void {
    this.#tell((observer) => observer.batchRun?.(event));
  }

  workerChanged(event: WorkerEvent): void {
    this.#tell((observer) => observer.workerChanged?.(event));
  }

  readonly #tellEnded = (): void => {
    const ended = this.#ended;
    this.#ended = [];
    for (const event of ended) this.#tell((observer) => observer.requestFinished?.(event));
  };

  /** An observer that throws against its contract, now or later, must not take a request, its slot or the process with it. */
  #tell(tell: (observer: Observer) => unknown): void {
    for (const observer of this.#observers) {
      try {
        const told = tell(observer);
        if (told instanceof Promise) told.catch(this.#failed);
      } catch (thrown) {
        this.#failed(thrown);
      }
    }
  }

  readonly #failed = (thrown: unknown): void => {
    this.#log.error({ err: thrown }, "an observer threw");
  };
}
