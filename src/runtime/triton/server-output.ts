import { ServableError } from "../../errors.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import { LoadReport } from "./load-report.ts";
import { LogLines, type LogLine } from "./log-lines.ts";
import type { ServerExit } from "./server-process.ts";

const keptErrors = 20;
const taken = /already in use|is taken by another program/;

/** What one run of a server prints: handed on to the log, and kept as far as it tells why the server ended. */
export class ServerOutput {
  readonly report: LoadReport = new LoadReport();
  readonly #lines = new LogLines();
  readonly #log: EngineLogger;
  #errors: string[] = [];
  #last: string | undefined;

  constructor(log: EngineLogger) {
    this.#log = log;
  }

  readonly read = (text: string): void => {
    const line = this.#lines.read(text);
    if (line === undefined) return;
    this.#log[line.level](line.fields, line.text);
    this.report.add(line);
    if (line.level === "error") this.#errors = [...this.#errors.slice(1 - keptErrors), textOf(line)];
    if (line.level !== "debug") this.#last = line.text;
  };

  /** What it says from now on tells why it ends; what stood in the way of its start did not. */
  markReady(): void {
    this.#errors = [];
    this.#last = undefined;
  }

  /** Why a server that was not ready yet ended. */
  startFailure(kind: string, exit: ServerExit): ServableError {
    const { failures } = this.report;
    const clash = this.#errors.find((text) => taken.test(text));
    if (clash !== undefined) return new ServableError("address_in_use", `${kind} ended, since a port of its is taken: ${clash}`);
    if (failures.size > 0) {
      const models = [...failures].map(([model, why]) => `'${model}': ${why}`);
      return new ServableError("load_failed", `${kind} ended, since models could not be loaded: ${models.join("; ")}`, {
        details: { models: Object.fromEntries(failures) },
      });
    }
    return new ServableError("load_failed", `${kind} ended before it was ready: ${exitText(exit)}.${this.#lastWords()}`);
  }

  /** Why a server was not ready in time. */
  lateFailure(kind: string, timeoutMs: number): ServableError {
    const { loading, failures } = this.report;
    const still = loading.length > 0 ? ` It is still loading: ${loading.join(", ")}.` : "";
    const failed = [...failures].map(([model, why]) => ` '${model}' could not be loaded: ${why}.`).join("");
    return new ServableError(
      "load_failed",
      `${kind} was not ready within ${timeoutMs} ms and was killed.${still}${failed}${this.#lastWords()}`,
      {
        details: { loading, models: Object.fromEntries(failures) },
      },
    );
  }

  /** Why a server that was ready ended. */
  death(exit: ServerExit): string {
    return `${exitText(exit)}.${this.#errors.length > 0 || exit.signal === null ? this.#lastWords() : ""}`;
  }

  #lastWords(): string {
    const [word, what] = this.#errors.length > 0 ? ["Its last error", this.#errors.at(-1)] : ["Its last words", this.#last];
    return what === undefined ? " It said nothing." : ` ${word}: ${what}`;
  }
}

function textOf({ text, fields }: LogLine): string {
  const { err } = fields;
  return typeof err === "string" ? `${text}: ${err}` : text;
}

function exitText({ code, signal }: ServerExit): string {
  if (signal === null) return `it ended by itself with exit code ${code ?? 0}`;
  return `it was ended by ${signal}${signal === "SIGKILL" ? ", by somebody, or since memory ran out" : ""}`;
}
