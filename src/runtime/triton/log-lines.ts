/** How important a line of a log is. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line of a server's log, read. */
export interface LogLine {
  readonly level: LogLevel;
  readonly text: string;
  /** What a structured line says besides its text; of others where in the server's code it was written. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const glogLevels: Readonly<Record<string, LogLevel>> = { I: "info", W: "warn", E: "error", F: "error" };
/** `I1124 00:19:12.055693 10111 server.cc:604] text`; lines of gRPC have nanoseconds and more blanks. */
const glog = /^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ([^\s:]+:\d+)\] *(.*)$/s;
/** `2026-11-24T00:19:12Z I 10111 server.cc:604] text` */
const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ([IWEF]) \d+ ([^\s:]+:\d+)\] *(.*)$/s;

/** What is said without a head and means an end: the server's own last words, a reader of protobuf's text, and flags that don't exist. */
const bareErrors =
  /^(error|servable): |^\[libprotobuf (ERROR|FATAL) |^\S+: (unrecognized|invalid|ambiguous) option|^\S+: option '.*' (requires|is ambiguous)/;

/** Reads a server's log line by line: tritonserver's (glog, either form of its time), and the structured lines of this package. */
export class LogLines {
  #level: LogLevel = "info";

  /** @returns undefined for a line that says nothing */
  read(line: string): LogLine | undefined {
    const [, letter = "", where, text = ""] = glog.exec(line) ?? iso.exec(line) ?? [];
    if (where !== undefined) {
      this.#level = glogLevels[letter] ?? "info";
      const said = unquoted(text);
      return said === "" ? undefined : { level: this.#level, text: said, fields: { where } };
    }
    return structured(line) ?? this.#bare(line);
  }

  /** A line without a head: what follows a line that has one, a table, or the last words of a process. */
  #bare(line: string): LogLine | undefined {
    const text = line.trimEnd();
    if (text.trim() === "") return undefined;
    if (bareErrors.test(text)) return { level: "error", text, fields: {} };
    return { level: /^[+|]/.test(text) ? "debug" : this.#level, text, fields: {} };
  }
}

/** Newer servers write their text in quotes, and what breaks lines in it escaped. */
function unquoted(text: string): string {
  const trimmed = text.trimEnd();
  if (!/^".*"$/s.test(trimmed)) return trimmed;
  try {
    const value: unknown = JSON.parse(trimmed);
    return typeof value === "string" ? value : trimmed;
  } catch {
    return trimmed.slice(1, -1);
  }
}

/** A line of JSON as pino writes it. */
function structured(line: string): LogLine | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || !("level" in value) || !("msg" in value)) return undefined;
    const { level, msg, time: _, ...fields } = value as Readonly<Record<string, unknown>>;
    return typeof level === "number" && typeof msg === "string" ? { level: levelOf(level), text: msg, fields } : undefined;
  } catch {
    return undefined;
  }
}

function levelOf(level: number): LogLevel {
  if (level >= 50) return "error";
  if (level >= 40) return "warn";
  return level >= 30 ? "info" : "debug";
}
