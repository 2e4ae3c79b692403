import type { MaybePromise } from "./service.ts";

/**
 * Goes on with a value, now where it is there and later where it is promised. A call that never waits then costs no promise,
 * which at tens of thousands of small requests a second is worth having.
 */
export function chain<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return isThenable(value) ? Promise.resolve(value).then(next) : next(value);
}

/** Whether a value is promised. Some libraries' promises (an ORM's query, say) are not of the class Promise. */
export function isThenable<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise || (typeof value === "object" && value !== null && "then" in value && typeof value.then === "function");
}

/** A promise that can also be iterated, for a result of which only the call shows whether it is a stream. */
export function promiseOrStream<T>(result: Promise<T | AsyncIterable<T>>): Promise<T> & AsyncIterable<T> {
  async function* iterate(): AsyncGenerator<T> {
    const value = await result;
    if (typeof value === "object" && value !== null && Symbol.asyncIterator in value) yield* value;
    else yield value;
  }
  return Object.assign(result as Promise<T>, { [Symbol.asyncIterator]: iterate });
}
