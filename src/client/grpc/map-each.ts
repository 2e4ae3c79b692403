/**
 * Each item made into another. What a generator does not, it hands `return` on at once, also to items that it waits for: they may never come, and
 * whoever makes them is to know that nobody takes them any more.
 */
export function mapEach<T, R>(items: AsyncIterable<T> | Iterable<T>, make: (item: T) => R): AsyncIterable<R> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
      return {
        async next() {
          const next = await iterator.next();
          return next.done === true ? { done: true, value: undefined } : { done: false, value: make(await next.value) };
        },
        async return() {
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
