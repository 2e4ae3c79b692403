/** HOW services are reached: listens, hands requests to the engine, and goes on whatever a service throws. */
export interface Runtime {
  /** Starts listening; resolves when every service is ready. */
  start(): Promise<void>;
  /** Stops intake, lets what is in flight finish within the grace time, and closes. Safe to call twice. */
  stop(): Promise<void>;
  /** Resolves when the runtime has stopped. */
  readonly stopped: Promise<void>;
}
