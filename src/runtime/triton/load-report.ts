import type { LogLine } from "./log-lines.ts";

const loading = /^loading: (.+):\d+$/;
const loaded = /^successfully loaded '(.+?)'/;
const failed = /^failed to load '(.+?)' version (\d+): (.*)$/s;
const failedWhole = /^failed to load model '(.+?)': (.*)$/s;
const unreadable = /^Poll failed for model directory '(.+?)': (.*)$/s;
/** What a reader of protobuf's text says, a line before what it was reading is named. */
const textFormat = /Error parsing text-format inference\.ModelConfig: (.*)$/s;
/** A row of the table that is printed when all models are loaded or not: model, version, status. */
const row = /^\| (.*?) *\| (.*?) *\| (.*?) *\|$/;

/** What a server's log tells of its models while they load. */
export class LoadReport {
  readonly #loading = new Set<string>();
  readonly #failures = new Map<string, string>();
  #textProblem: string | undefined;
  #inTable = false;

  /** Models that have begun to load, and nothing more was said of them. */
  get loading(): readonly string[] {
    return [...this.#loading];
  }

  /** Why models could not be loaded, by name. */
  get failures(): ReadonlyMap<string, string> {
    return this.#failures;
  }

  /** Reads on. */
  add(line: LogLine): void {
    const { text, fields } = line;
    if (text.startsWith("|")) {
      this.#readRow(text);
      return;
    }
    if (!text.startsWith("+")) this.#inTable = false;
    this.#readOwn(line);
    const problem = textFormat.exec(text)?.[1];
    if (problem !== undefined) this.#textProblem = problem;
    const [, begun] = loading.exec(text) ?? [];
    if (begun !== undefined) this.#loading.add(begun);
    const done = loaded.exec(text)?.[1] ?? (text === "model loaded" ? fields.model : undefined);
    if (typeof done === "string") this.#loading.delete(done);
    const [, model, version, why] = failed.exec(text) ?? [];
    if (model !== undefined) this.#fail(model, `version ${version ?? "?"}: ${why ?? ""}`);
    const [, whole, whyWhole] = failedWhole.exec(text) ?? [];
    if (whole !== undefined) this.#fail(whole, whyWhole ?? "");
    const [, folder, whyUnreadable] = unreadable.exec(text) ?? [];
    if (folder === undefined) return;
    this.#fail(folder, [whyUnreadable, this.#textProblem && `(line:column ${this.#textProblem})`].filter(Boolean).join(" "));
    this.#textProblem = undefined;
  }

  /** This package's own server names the model in a field. */
  #readOwn({ level, fields }: LogLine): void {
    const { model, version, err } = fields;
    if (level !== "error" || typeof model !== "string" || typeof err !== "object" || err === null || !("message" in err)) return;
    this.#fail(model, `${typeof version === "string" ? `version ${version}: ` : ""}${String(err.message).trim()}`);
  }

  #readRow(text: string): void {
    const [, model = "", version = "", status = ""] = row.exec(text) ?? [];
    if (!this.#inTable) {
      this.#inTable = model === "Model" && version === "Version" && status === "Status";
      return;
    }
    // A long reason goes on in rows without a name, which show where in the backend's code it was.
    if (model === "") return;
    this.#loading.delete(model);
    if (status !== "READY" && !this.#failures.has(model)) this.#fail(model, status.replace(/^UNAVAILABLE: /, ""));
  }

  #fail(model: string, reason: string): void {
    this.#loading.delete(model);
    // What a Python backend adds is its own call stack, which stands in the log.
    this.#failures.set(model, (reason.split("\n\nAt:\n")[0] ?? "").trim());
  }
}
