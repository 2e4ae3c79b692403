/**
 * Puts `return` at once into force. A generator's own waits for a pending `next`, which here may wait for a server that has
 * nothing to say.
 *
 * @param stop - ends what a pending `next` waits for
 */
export function closable<T>(generator: AsyncGenerator<T>, stop: () => void): AsyncIterableIterator<T> {
  let closed = false;
  const isClosed = (): boolean => closed;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (isClosed()) return { done: true, value: undefined };
      try {
        return await generator.next();
      } catch (thrown) {
        if (isClosed()) return { done: true, value: undefined };
        throw thrown;
      }
    },
    async return() {
      if (!closed) {
        closed = true;
        stop();
        // Runs the clean-up of a generator that stands at a `yield`; for one that waits, `stop` has ended the wait.
        await generator.return(undefined).catch(() => undefined);
      }
      return { done: true, value: undefined };
    },
  };
}
