/** What waits for each signal. */
const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Runs `listener` when `signal` is aborted: now, if it is already. However many calls share a signal, it gets one event listener:
 * Node warns of a leak at the eleventh.
 *
 * @returns takes the listener back
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  const waiting = listeners.get(signal) ?? listenTo(signal);
  waiting.add(listener);
  return () => void waiting.delete(listener);
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const waiting = new Set<() => void>();
  listeners.set(signal, waiting);
  const abort = (): void => {
    for (const listener of waiting) listener();
  };
  signal.addEventListener("abort", abort, { once: true });
  return waiting;
}
