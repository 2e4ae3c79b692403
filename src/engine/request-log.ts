import type { Logger, LogMethod } from "../service/service.ts";

/** What the engine says of a line: a service that logs fields of these names must not seem to be another one, or of another request. */
const engineFields: ReadonlySet<string> = new Set(["service", "requestId"]);

/** A service's own fields without those that are the engine's to say. */
export function ownFields(fields: object): object {
  // Loggers tell of an Error in a field of its own.
  if (fields instanceof Error || !Object.keys(fields).some((key) => engineFields.has(key))) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !engineFields.has(key)));
}

/** The logger that a service sees in a call. @param log - one whose lines carry service and request */
export function requestLog(log: Logger): Logger {
  const method = (level: keyof Logger): LogMethod => {
    return (fields: object | string, message?: string): void => {
      // JavaScript may pass anything.
      if (typeof fields !== "object" || (fields as object | null) === null) log[level](fields as string);
      else log[level](ownFields(fields), message);
    };
  };
  return { debug: method("debug"), info: method("info"), warn: method("warn"), error: method("error") };
}
