import type { EngineLogger } from "../engine/observer.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import type { Settings } from "../runtime/model-plane.ts";

const logDefaults: Readonly<Record<string, string | number | boolean>> = {
  log_file: "",
  log_info: true,
  log_warning: true,
  log_error: true,
  log_verbose_level: 0,
  log_format: "default",
};

/** What of the log is written: the settings that clients see and change. */
export class LogSettings {
  readonly #values: Record<string, string | number | boolean> = { ...logDefaults };

  get values(): Settings {
    return { ...this.#values };
  }

  /** @throws InferenceError `INVALID_ARG` for a setting that does not exist, is of another kind, or can't be changed */
  change(changes: Readonly<Record<string, string | number | boolean>>): void {
    for (const [name, value] of Object.entries(changes)) {
      const usual = Object.hasOwn(logDefaults, name) ? logDefaults[name] : undefined;
      if (usual === undefined) throw new InferenceError("INVALID_ARG", `unknown setting '${name}'`);
      if (typeof value !== typeof usual) throw new InferenceError("INVALID_ARG", `setting '${name}' must be a ${typeof usual}`);
      if (name === "log_file" && value !== "") {
        throw new InferenceError("UNSUPPORTED", "log file location can not be updated through network protocol");
      }
      if (name === "log_format" && value !== "default" && value !== "ISO8601") {
        // Not an argument that is invalid, by its status: what Triton's flag of that name says is what its route says.
        throw new InferenceError("UNAVAILABLE", `invalid argument for --log_format, got: ${String(value)}`);
      }
    }
    Object.assign(this.#values, changes);
  }

  /** A logger that keeps to the settings. */
  filter(log: EngineLogger): EngineLogger {
    const gate =
      (level: "debug" | "info" | "warn" | "error", isOn: () => boolean) =>
      (fields: object | string, message?: string): void => {
        if (!isOn()) return;
        if (typeof fields === "string") log[level](fields);
        else log[level](fields, message);
      };
    const values = this.#values;
    return {
      debug: gate("debug", () => Number(values.log_verbose_level) > 0),
      info: gate("info", () => values.log_info === true),
      warn: gate("warn", () => values.log_warning === true),
      error: gate("error", () => values.log_error === true),
      child: (fields) => this.filter(log.child(fields)),
      ...(log.isLevelEnabled === undefined ? {} : { isLevelEnabled: (level: string) => log.isLevelEnabled?.(level) ?? true }),
    };
  }
}

const traceDefaults: Readonly<Record<string, readonly string[]>> = {
  trace_level: ["OFF"],
  trace_rate: ["1000"],
  trace_count: ["-1"],
  log_frequency: ["0"],
  trace_file: [""],
  trace_mode: ["triton"],
};
const traceNumbers: ReadonlySet<string> = new Set(["trace_rate", "trace_count", "log_frequency"]);
const traceLevels: ReadonlySet<string> = new Set(["OFF", "TIMESTAMPS", "TENSORS"]);

/** The settings of tracing, the server's and those of models that have their own. */
export class TraceSettings {
  readonly #global: Record<string, readonly string[]> = {};
  readonly #models = new Map<string, Record<string, readonly string[]>>();

  /** @param model - empty for the server's */
  of(model: string): Settings {
    const all: Record<string, readonly string[]> = { ...traceDefaults, ...this.#global, ...(model === "" ? {} : this.#models.get(model)) };
    return Object.fromEntries(Object.entries(all).map(([name, values]) => [name, name === "trace_level" ? values : (values[0] ?? "")]));
  }

  /** @throws InferenceError `INVALID_ARG` for a setting or a value that does not exist */
  change(model: string, changes: Readonly<Record<string, readonly string[] | null>>): void {
    for (const [name, values] of Object.entries(changes)) {
      if (!Object.hasOwn(traceDefaults, name)) throw new InferenceError("INVALID_ARG", `unknown setting '${name}'`);
      const wrong = name === "trace_level" ? values?.find((value) => !traceLevels.has(value)) : undefined;
      if (wrong !== undefined) throw new InferenceError("INVALID_ARG", `unknown trace_level '${wrong}'`);
      if (traceNumbers.has(name) && values !== null) traceNumber(name, values[0] ?? "");
      if (name === "trace_file" || name === "trace_mode") {
        const what = name === "trace_file" ? "trace file location" : name;
        throw new InferenceError("UNSUPPORTED", `${what} can not be updated through network protocol`);
      }
    }
    const own = model === "" ? this.#global : (this.#models.get(model) ?? {});
    for (const [name, values] of Object.entries(changes)) {
      if (values === null) Reflect.deleteProperty(own, name);
      else own[name] = traceNumbers.has(name) ? [traceNumber(name, values[0] ?? "")] : [...values];
    }
    if (model !== "") this.#models.set(model, own);
  }
}

/** A number of the trace as it is kept. Of rate and frequency Triton takes the lowest 32 bits, unsigned. @throws InferenceError `INVALID_ARG` */
function traceNumber(name: string, text: string): string {
  if (!/^-?\d{1,18}$/.test(text)) throw new InferenceError("INVALID_ARG", `Unable to parse '${name}', got: ${text}`);
  const number = BigInt(text);
  if (name !== "trace_count") return String(BigInt.asUintN(32, number));
  if (number >= -1n) return String(number);
  throw new InferenceError("INVALID_ARG", `Unable to parse '${name}'. Expecting value >= -1, got:${text}`);
}
