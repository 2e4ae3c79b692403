import { causeText } from "../../errors.ts";
import type { Logger, LogMethod } from "../../service/service.ts";
import { ownFields } from "../request-log.ts";
import type { HostMessage } from "./messages.ts";

/** A logger whose lines go to the engine's log. @param extra - what each line carries */
export function workerLogger(send: (message: HostMessage) => void, extra: object): Logger {
  const method = (level: "debug" | "info" | "warn" | "error"): LogMethod => {
    const write = (fields: object | string, message?: string): void => {
      const [own, text] =
        typeof fields === "string" ? [{}, fields] : fields instanceof Error ? [{ err: fields }, message] : [fields, message];
      try {
        send({ type: "log", level, fields: { ...plain(ownFields(own)), ...extra }, message: text });
      } catch {
        send({ type: "log", level, fields: { ...notPlain, ...extra }, message: text });
      }
    };
    return write;
  };
  return { debug: method("debug"), info: method("info"), warn: method("warn"), error: method("error") };
}

const notPlain = { fields: "(not plain data)" };

/** Log fields may hold anything; of what only plain data crosses, errors are told as text. */
function plain(fields: object): object {
  const replaced = Object.entries(fields).map(([key, value]: [string, unknown]) => [
    key,
    value instanceof Error ? causeText(value) : value,
  ]);
  return Object.fromEntries(replaced) as object;
}
