/** Writes one structured line to the log. pino's loggers fit, and so does `console`. */
export interface LogMethod {
  (fields: object, message?: string): void;
  (message: string): void;
}

/** The part of a logger that services see. */
export interface Logger {
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
}
