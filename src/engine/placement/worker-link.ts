/** What a worker lives in. */
export type WorkerKind = "thread" | "process";

/** What happens to a worker. */
export interface WorkerEvents {
  /** It said something. */
  message(message: unknown): void;
  /** Something was thrown in it that nobody caught; its end follows. */
  threw(thrown: unknown): void;
  /** It is gone, and all that it had said was told before. Told once. */
  gone(how: string): void;
}

/** A live worker, as its engine holds it: all in which a thread and a process differ. */
export interface WorkerLink {
  /** @param transfer - what may be handed over instead of copied, where that is possible */
  post(message: object, transfer: readonly ArrayBuffer[]): void;
  /** Ends it at once, whatever runs in it; undefined where that would take the engine along. */
  readonly kill: (() => void) | undefined;
  /**
   * Ends one that was asked to close.
   *
   * @param busy - whether something still runs in it
   */
  end(busy: boolean): Promise<void>;
}
