/** What waits for a signal, and what stops listening to it. */
interface Waiting {
  readonly listeners: Set<() => void>;
  readonly stop: () => void;
}

const waitingFor = new WeakMap<AbortSignal, Waiting>();

/**
 * Runs `listener` when `signal` is aborted: now, if it is already. However many calls share a signal, it gets one event listener:
 * Node warns of a leak at the eleventh. With the last of them that listener goes, too: Node keeps a signal of several (`AbortSignal.any`) in memory for as
 * long as somebody listens to it.
 *
 * @returns takes the listener back
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  const waiting = waitingFor.get(signal) ?? listenTo(signal);
  waiting.listeners.add(listener);
  return () => {
    if (waiting.listeners.delete(listener) && waiting.listeners.size === 0) waiting.stop();
  };
}

function listenTo(signal: AbortSignal): Waiting {
  const listeners = new Set<() => void>();
  const abort = (): void => {
    for (const listener of listeners) listener();
  };
  const stop = (): void => {
    signal.removeEventListener("abort", abort);
    waitingFor.delete(signal);
  };
  const waiting = { listeners, stop };
  waitingFor.set(signal, waiting);
  signal.addEventListener("abort", abort, { once: true });
  return waiting;
}
