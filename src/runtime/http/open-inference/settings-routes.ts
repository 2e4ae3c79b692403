import { wrongKind } from "./failure.ts";
import { booleanOf, textOf, type JsonObject } from "./json-body.ts";

/** What may be changed of tracing; anything else in the body is passed over, as Triton does. */
const traceNames = ["trace_file", "trace_level", "trace_rate", "trace_count", "log_frequency"] as const;

/** Changes of the settings of tracing, from a body; null puts a value back. @throws InferenceError for values of a wrong kind */
export function traceChanges(body: JsonObject): Readonly<Record<string, readonly string[] | null>> {
  const changes: Record<string, readonly string[] | null> = {};
  for (const name of traceNames) {
    const value = body[name];
    if (value === undefined) continue;
    if (value === null) changes[name] = null;
    else if (name === "trace_level") changes[name] = levelsOf(value);
    else changes[name] = [textOf(value)];
  }
  return changes;
}

function levelsOf(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw wrongKind("array");
  return value.map(textOf);
}

/** How each setting of the log is read. */
const logReaders: Readonly<Record<string, (value: unknown) => string | number | boolean>> = {
  log_file: textOf,
  log_info: booleanOf,
  log_warning: booleanOf,
  log_error: booleanOf,
  log_verbose_level: unsignedOf,
  log_format: textOf,
};

/** Changes of the settings of the log, from a body; null leaves a value as it is. @throws InferenceError for values of a wrong kind */
export function logChanges(body: JsonObject): Readonly<Record<string, string | number | boolean>> {
  const changes: Record<string, string | number | boolean> = {};
  for (const [name, read] of Object.entries(logReaders)) {
    const value = body[name];
    if (value !== undefined && value !== null) changes[name] = read(value);
  }
  return changes;
}

function unsignedOf(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw wrongKind("unsigned-integer");
  return value;
}
