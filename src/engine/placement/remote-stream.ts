import type { ServableError } from "../../errors.ts";

type Item = Uint8Array | string;
interface Asker {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (error: ServableError) => void;
}

/** A stream whose items come from a worker, each when it is asked for. For one reader, who asks for one item at a time. */
export class RemoteStream implements AsyncIterableIterator<Item, undefined> {
  readonly #ask: () => void;
  readonly #cancel: () => void;
  #asker: Asker | undefined;
  #ended = false;
  #error: ServableError | undefined;
  #onEnd: (() => void) | undefined;

  constructor(ask: () => void, cancel: () => void) {
    this.#ask = ask;
    this.#cancel = cancel;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Whether an item was asked for that has not come. */
  get isAsked(): boolean {
    return this.#asker !== undefined;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) reject(this.#error);
      else if (this.#ended) resolve({ done: true, value: undefined });
      else {
        this.#asker = { resolve, reject };
        this.#ask();
      }
    });
  }

  /** Tells the worker to stop, and waits until it has. */
  async return(): Promise<IteratorResult<Item, undefined>> {
    if (!this.#ended && this.#error === undefined) {
      await new Promise<void>((resolve) => {
        this.#onEnd = resolve;
        this.#cancel();
      });
    }
    return { done: true, value: undefined };
  }

  push(item: Item): void {
    const asker = this.#take();
    asker?.resolve({ done: false, value: item });
  }

  end(): void {
    this.#ended = true;
    this.#take()?.resolve({ done: true, value: undefined });
    this.#onEnd?.();
  }

  fail(error: ServableError): void {
    this.#error = error;
    this.#take()?.reject(error);
    this.#onEnd?.();
  }

  #take(): Asker | undefined {
    const asker = this.#asker;
    this.#asker = undefined;
    return asker;
  }
}
