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
        throw new InferenceError("INVALID_ARG", `log_format must be 'default' or 'ISO8601', not '${String(value)}'`);
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
      const isNumber = ["trace_rate", "trace_count", "log_frequency"].includes(name);
      if (isNumber && values !== null && !/^-?\d{1,18}$/.test(values[0] ?? "")) {
        throw new InferenceError("INVALID_ARG", `invalid value '${values[0] ?? ""}' for '${name}'`);
      }
      if (name === "trace_file" || name === "trace_mode") {
        throw new InferenceError("UNSUPPORTED", `${name} can not be updated through network protocol`);
      }
    }
    const own = model === "" ? this.#global : (this.#models.get(model) ?? {});
    for (const [name, values] of Object.entries(changes)) {
      if (values === null) Reflect.deleteProperty(own, name);
      else own[name] = [...values];
    }
    if (model !== "") this.#models.set(model, own);
  }
}
