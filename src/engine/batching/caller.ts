/** For whom a request runs. A call's context is one; a signal can be made one. */
export interface Caller {
  /** Why it was given up; undefined while it was not. */
  readonly abortReason: unknown;
  watchAbort(callback: (reason: unknown) => void): void;
  unwatchAbort(callback: (reason: unknown) => void): void;
}

/** Makes a signal a caller of one request. */
export function callerOf(signal: AbortSignal): Caller {
  let listener: (() => void) | undefined;
  return {
    get abortReason(): unknown {
      return signal.aborted ? (signal.reason as unknown) : undefined;
    },
    watchAbort(callback) {
      listener = () => {
        callback(signal.reason);
      };
      signal.addEventListener("abort", listener, { once: true });
    },
    unwatchAbort() {
      if (listener !== undefined) signal.removeEventListener("abort", listener);
    },
  };
}
