import type { EngineLogger } from "../engine/observer.ts";
import { messageOf, ServableError } from "../errors.ts";
import type { LogMethod } from "../service/logger.ts";

const levels = ["debug", "info", "warn", "error"] as const;

let isTold = false;

/** There is no other place left to say it; once, since each line would say it again. */
function tell(thrown: unknown): void {
  if (isTold) return;
  isTold = true;
  process.emitWarning(`A logger failed, and its lines are lost: ${messageOf(thrown)}`, { code: "SERVABLE_LOGGER" });
}

/**
 * A logger of the user's own, whose failures are kept from those who log: many lines are written in timers and on messages of workers,
 * where what is thrown ends the process.
 *
 * @throws ServableError `invalid_config` for what is no logger
 */
export function guardLog(log: EngineLogger): EngineLogger {
  const missing = [...levels, "child" as const].filter((name) => typeof (log as Partial<EngineLogger> | null)?.[name] !== "function");
  if (missing.length > 0) {
    throw new ServableError(
      "invalid_config",
      `A log needs the methods debug, info, warn, error and child; this one lacks ${missing.join(", ")}.`,
    );
  }
  return guarded(log);
}

function guarded(log: EngineLogger): EngineLogger {
  const method = (level: (typeof levels)[number]): LogMethod => {
    return (...line: [fields: object | string, message?: string]): void => {
      try {
        const written: unknown = (log[level] as (...parts: typeof line) => unknown)(...line);
        if (written instanceof Promise) written.catch(tell);
      } catch (thrown) {
        tell(thrown);
      }
    };
  };
  return {
    debug: method("debug"),
    info: method("info"),
    warn: method("warn"),
    error: method("error"),
    child(fields) {
      try {
        return guarded(log.child(fields));
      } catch (thrown) {
        tell(thrown);
        return this;
      }
    },
    ...(typeof log.isLevelEnabled === "function" && { isLevelEnabled: (level: string) => log.isLevelEnabled?.(level) !== false }),
  };
}
