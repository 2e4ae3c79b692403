import { ServableError } from "../../errors.ts";
import type { Engine, ListPlace } from "../../engine/engine.ts";
import type { Execution } from "../../engine/execution.ts";
import { problemOf, toWireError } from "../http/problem.ts";
import { outputText } from "../item.ts";
import type { Line, LinePlace, LineReader } from "./line-reader.ts";
import type { OrderedOutput, Row } from "./ordered-output.ts";
import type { WholeRows } from "./output-scan.ts";

/** What a {@link RowRunner} stands between. */
export interface RowRunnerOptions {
  readonly engine: Engine;
  readonly service: string;
  readonly reader: LineReader;
  readonly output: OrderedOutput;
  /** What of the output is whole: so many rows have their answer already. */
  readonly whole: WholeRows;
}

/** A row that was in a worker when that crashed, with others or by itself. */
interface Suspect {
  readonly row: Row;
  readonly body: Uint8Array;
}

/** What an engine that stops says to what it does not finish. */
const stopCodes: ReadonlySet<string> = new Set(["not_ready", "unavailable", "cancelled"]);
/** Rows that are answered at once would keep everything else on this thread waiting. */
const longestTurnMs = 10;

/**
 * Runs each line as a request of its own, as many at once as the service takes, until the input ends or `stop` is called.
 *
 * A row that was in a worker when it crashed is run again, alone: then it is known whose fault the crash was.
 */
export class RowRunner {
  readonly #options: RowRunnerOptions;
  readonly #concurrency: number;
  readonly #maxLineBytes: number;
  #place: ListPlace | undefined;
  #next: Line | undefined;
  #filling = false;
  #inHand = 0;
  readonly #suspects: Suspect[] = [];
  #stopping = false;
  /** Whether no more answers are wanted. */
  #halted = false;
  #readFailure: { readonly thrown: unknown } | undefined;
  #wakeUp: (() => void) | undefined;
  #turnSince = performance.now();

  constructor(options: RowRunnerOptions) {
    const { concurrency, maxBodyBytes } = options.engine.policy(options.service);
    this.#options = options;
    this.#concurrency = concurrency;
    this.#maxLineBytes = maxBodyBytes;
  }

  /**
   * Resolves when nothing is in hand any more.
   *
   * @returns whether every line was taken in
   * @throws ServableError what stood in the way of reading
   */
  async run(): Promise<boolean> {
    const { engine, service } = this.#options;
    if (this.#stopping) return false;
    this.#place = engine.takePlace(service);
    try {
      const isComplete = (await this.#skip()) && (await this.#feed());
      await this.#drain();
      if (this.#readFailure !== undefined) throw this.#readFailure.thrown;
      return isComplete;
    } finally {
      this.#place.leave();
    }
  }

  /** Takes no more lines in; what is in hand goes on. */
  stop(): void {
    this.#stopping = true;
    this.wake();
  }

  /** Wants no more answers, either. */
  halt(): void {
    this.#halted = true;
    this.stop();
  }

  /** To be called when the output has room again. */
  wake(): void {
    const wakeUp = this.#wakeUp;
    this.#wakeUp = undefined;
    wakeUp?.();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeUp = resolve;
    });
  }

  /** Passes over what an earlier run has answered. @returns false where it was stopped meanwhile */
  async #skip(): Promise<boolean> {
    const { reader, output, whole } = this.#options;
    for (let left = whole.rows - output.written.rows; left > 0 && !this.#stopping;) {
      const line = reader.take();
      if (line !== undefined) {
        left -= 1;
        if (left === 0) output.passOver(whole, line);
      } else if (!reader.ended) await this.#fill();
      else {
        throw new ServableError(
          "invalid_argument",
          "The output has more rows than the input: it is not of this input. Name another file, or begin anew with --restart (restart: true).",
        );
      }
    }
    return !this.#stopping;
  }

  /** @returns whether the input is at its end */
  async #feed(): Promise<boolean> {
    const { reader, output } = this.#options;
    while (!this.#stopping) {
      if (this.#suspects.length > 0) await this.#runSuspect();
      else if (!output.hasRoom || this.#inHand >= this.#concurrency) await this.#change();
      else {
        this.#next ??= reader.take();
        if (this.#next !== undefined) await this.#takeIn(this.#next);
        else if (reader.ended) return true;
        else await this.#fill();
      }
    }
    return false;
  }

  async #drain(): Promise<void> {
    while (this.#inHand > 0 || this.#suspects.length > 0) {
      if (this.#suspects.length > 0) await this.#runSuspect();
      else await this.#change();
    }
  }

  /** Reads on; returns also where something else happens first, since a stream may give its next piece at any time. */
  async #fill(): Promise<void> {
    if (!this.#filling) {
      this.#filling = true;
      void this.#options.reader
        .fill()
        .catch((thrown: unknown) => {
          this.#readFailure = { thrown };
          this.stop();
        })
        .then(() => {
          this.#filling = false;
          this.wake();
        });
    }
    await this.#change();
  }

  async #takeIn(line: Line): Promise<void> {
    const { output } = this.#options;
    if (line.body === undefined) {
      this.#next = undefined;
      this.#refuse(output.add(line, 0));
      return;
    }
    const execution = this.#admit(line, this.#inHand === 0);
    // What is over its time and does not end takes the room; it is tried again when a row is done.
    if (execution === undefined) {
      await this.#change();
      return;
    }
    this.#next = undefined;
    void this.#run({ row: output.add(line, line.body.byteLength), body: line.body }, execution, false);
    if (performance.now() - this.#turnSince < longestTurnMs) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#turnSince = performance.now();
  }

  /** Runs one row again, with nothing beside it. */
  async #runSuspect(): Promise<void> {
    while (this.#inHand > 0) await this.#change();
    const suspect = this.#suspects.shift();
    const execution = suspect && !this.#halted ? this.#admit(suspect.row, true) : undefined;
    if (suspect !== undefined && execution !== undefined) await this.#run(suspect, execution, true);
  }

  #admit(place: LinePlace, alone: boolean): Execution | undefined {
    try {
      return this.#place?.admit({ requestId: requestIdOf(place) }, alone);
    } catch {
      // Its grace time is over.
      this.halt();
      return undefined;
    }
  }

  async #run(suspect: Suspect, execution: Execution, alone: boolean): Promise<void> {
    const { row, body } = suspect;
    this.#inHand += 1;
    try {
      const response = await execution.run({ contentType: "application/json", body, responseType: "application/json" });
      const text = await outputText(response);
      // A break in JSON can only stand where a space can.
      this.#options.output.settle(row, `{"output":${text.replaceAll(/[\r\n]/g, " ")}}\n`, false);
    } catch (thrown) {
      execution.fail(toWireError(thrown));
      this.#fail(suspect, thrown, alone);
    }
    this.#inHand -= 1;
    this.wake();
  }

  #fail(suspect: Suspect, thrown: unknown, alone: boolean): void {
    const code = ServableError.isInstance(thrown) ? thrown.code : "internal";
    // It was not run to its end, so it has no answer yet: it is a row of the run that goes on.
    if ((this.#halted || this.#stopping) && stopCodes.has(code)) return;
    if (code !== "worker_crashed" || alone) this.#settleError(suspect.row, thrown);
    else if (!this.#halted) this.#suspects.push(suspect);
  }

  #refuse(row: Row): void {
    const { engine, service } = this.#options;
    const error = new ServableError("payload_too_large", `Line ${row.line} is larger than ${this.#maxLineBytes} bytes.`, {
      details: { maxBodyBytes: this.#maxLineBytes },
    });
    engine.refused(requestIdOf(row), service, error, 0);
    this.#settleError(row, error);
  }

  #settleError(row: Row, thrown: unknown): void {
    const problem = problemOf(thrown, requestIdOf(row));
    this.#options.output.settle(row, `${JSON.stringify({ error: problem, line: row.line })}\n`, true);
  }
}

/** The same in every run, so that a run that was broken off ends with the same bytes. */
function requestIdOf({ line }: LinePlace): string {
  return `line-${line}`;
}
