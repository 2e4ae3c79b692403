import { ServableError } from "../../errors.ts";
import { Engine, type EngineStatus } from "../../engine/engine.ts";
import { entryOf, resolveSource } from "../../engine/service-source.ts";
import type { EngineLogger, WorkerEvent } from "../../engine/observer.ts";
import { loggerOf } from "../../telemetry/logs.ts";
import { whyNoBatch } from "../http/batch-route.ts";
import type { Runtime } from "../runtime.ts";
import { beginning } from "./checkpoint.ts";
import { openInput, type Input } from "./input.ts";
import { LineReader } from "./line-reader.ts";
import { openOutput, type Output } from "./open-output.ts";
import { offlinePolicy, timesOf, type OfflineRuntimeOptions } from "./options.ts";
import { OrderedOutput } from "./ordered-output.ts";
import { rowLog } from "./row-log.ts";
import { RowRunner } from "./row-runner.ts";

/** How far a run is. */
export interface OfflineProgress {
  /** Rows that are written, those of earlier runs too. */
  readonly rows: number;
  /** Those among them that failed. */
  readonly failed: number;
  /** Rows that an earlier run had written. */
  readonly earlierRows: number;
  /** Bytes of the input whose rows are written. */
  readonly inputBytes: number;
  /** Bytes of the whole input; undefined where nobody knows. */
  readonly totalBytes: number | undefined;
  /** Whether the same run can go on when this one is broken off. */
  readonly canResume: boolean;
}

/** How a run has ended. */
export interface OfflineResult {
  /** Rows in the output, those of earlier runs too. */
  readonly rows: number;
  /** Those among them that failed. */
  readonly failed: number;
  /** Whether every row of the input has its answer; false where `stop` came first. */
  readonly complete: boolean;
}

interface Parts {
  readonly engine: Engine;
  readonly input: Input;
  readonly output: Output;
  readonly ordered: OrderedOutput;
  readonly runner: RowRunner;
}

/**
 * Runs a service over a file: each line of newline-delimited JSON is a request, each answer a line of the output, in the same order:
 * `{"output":…}`, or `{"error":<problem>,"line":…}` for a row that failed. Memory stays bounded whatever the file's size, and a run that
 * was killed goes on where it was, with no row repeated or lost.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { OfflineRuntime } from "servable/offline";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * const runtime = new OfflineRuntime({ service: hello, input: "in.jsonl", output: "out.jsonl" });
 * await runtime.start();
 * const { rows, failed } = await runtime.finished;
 * console.log(`${rows} rows, ${failed} failed`);
 * ```
 */
export class OfflineRuntime implements Runtime {
  readonly stopped: Promise<void>;
  /**
   * Resolves when the run has ended and everything is closed: at the end of the input, or after `stop`.
   *
   * Rejects with `unavailable` where a file can't be read or written any further (a full disk), `worker_crashed` where the service's
   * workers crash again and again, `invalid_argument` where the output turns out not to be of this input. What was written by then stays.
   */
  readonly finished: Promise<OfflineResult>;
  readonly #options: OfflineRuntimeOptions;
  readonly #times: ReturnType<typeof timesOf>;
  #started = false;
  #stopAsked = false;
  #engine: Engine | undefined;
  #parts: Parts | undefined;
  #failure: { readonly thrown: unknown } | undefined;
  #markStopped: () => void = () => undefined;
  #finish: (result: OfflineResult) => void = () => undefined;
  #break: (thrown: unknown) => void = () => undefined;

  /** @throws ServableError `invalid_config` */
  constructor(options: OfflineRuntimeOptions) {
    this.#options = options;
    this.#times = timesOf(options);
    this.stopped = new Promise((resolve) => {
      this.#markStopped = resolve;
    });
    this.finished = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#break = reject;
    });
    // Whoever only awaits `stopped` is not to be ended by a rejection that nobody heard.
    this.finished.catch(() => undefined);
  }

  /** How the engine and the service are; undefined before `start`. */
  get status(): EngineStatus | undefined {
    return this.#engine?.status();
  }

  /** How far it is; undefined before `start` has resolved. */
  get progress(): OfflineProgress | undefined {
    if (this.#parts === undefined) return undefined;
    const { ordered, input, output } = this.#parts;
    const { rows, failed, inputBytes } = ordered.written;
    return { rows, failed, earlierRows: output.whole.rows, inputBytes, totalBytes: input.facts?.size, canResume: output.canResume };
  }

  /**
   * Opens the files and sets the service up; resolves when rows begin to run.
   *
   * @throws ServableError `load_failed`, `invalid_config`; `invalid_argument` for files that can't be used, or an output that would be
   * overwritten; `unavailable` while another run writes it; `cancelled` where `stop` came first
   */
  async start(): Promise<void> {
    this.#goOnUnlessStopped();
    if (this.#started) throw new ServableError("invalid_argument", "A runtime is started once.");
    this.#started = true;
    try {
      const log = await loggerOf(this.#options.log, { level: "warn", format: "json", destination: process.stderr });
      const parts = await this.#open(log);
      this.#parts = parts;
      if (this.#stopAsked) parts.runner.stop();
      void this.#run(parts);
    } catch (thrown) {
      this.#markStopped();
      this.#break(thrown);
      throw thrown;
    }
  }

  /** Takes no more rows in, lets those in flight finish within the grace time, writes them, and closes. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopAsked = true;
    if (!this.#started) {
      this.#started = true;
      this.#break(stoppedEarly());
      this.#markStopped();
    }
    this.#parts?.runner.stop();
    await this.#engine?.stop(this.#times.graceMs);
    await this.stopped;
  }

  /** `stop` may come between any two steps of `start`. */
  #goOnUnlessStopped(): void {
    if (this.#stopAsked) throw stoppedEarly();
  }

  async #open(log: EngineLogger): Promise<Parts> {
    const { service: entry, policy: given } = entryOf(this.#options.service);
    const { definition, loader } = await resolveSource(entry);
    refuseOtherServices(definition);
    const policy = offlinePolicy(definition, given);
    const engine = new Engine({
      services: [{ service: loader ?? definition, policy }],
      log,
      observers: [rowLog(log), { workerChanged: (event) => this.#watch(event) }, ...(this.#options.observers ?? [])],
    });
    const input = await openInput(this.#options.input);
    let output: Output | undefined;
    try {
      const { name: service } = definition;
      output = await openOutput({ output: this.#options.output, input, service, restart: this.#options.restart ?? false });
      this.#goOnUnlessStopped();
      this.#engine = engine;
      await engine.start();
      return this.#join(engine, service, input, output);
    } catch (thrown) {
      await Promise.all([input.close(), output?.close(), engine.stop(0)]);
      throw thrown;
    }
  }

  #join(engine: Engine, service: string, input: Input, output: Output): Parts {
    const { checkpoint, whole } = output;
    if (checkpoint !== beginning) input.seek(checkpoint.inputBytes);
    const { concurrency, maxBodyBytes } = engine.policy(service);
    const reader = new LineReader(() => input.read(), maxBodyBytes, checkpoint);
    const ordered = new OrderedOutput({
      output,
      atOnce: concurrency,
      checkpointMs: this.#times.checkpointMs,
      onWritten: () => {
        runner.wake();
      },
      onFail: (thrown) => {
        this.#fail(thrown);
      },
    });
    const runner = new RowRunner({ engine, service, reader, output: ordered, whole });
    return { engine, input, output, ordered, runner };
  }

  async #run({ engine, input, output, ordered, runner }: Parts): Promise<void> {
    try {
      const isAtEnd = await runner.run().finally(() => ordered.flush());
      const isComplete = isAtEnd && ordered.isEmpty && this.#failure === undefined;
      if (isComplete) await output.complete();
      await this.#close(engine, input, output);
      if (this.#failure !== undefined) throw this.#failure.thrown;
      const { rows, failed } = ordered.written;
      this.#finish({ rows, failed, complete: isComplete });
    } catch (thrown) {
      await this.#close(engine, input, output).catch(() => undefined);
      this.#break(this.#failure === undefined ? thrown : this.#failure.thrown);
    }
    this.#markStopped();
  }

  async #close(engine: Engine, input: Input, output: Output): Promise<void> {
    await engine.stop(this.#times.graceMs);
    await Promise.all([input.close(), output.close()]);
  }

  /** Ends the run; what is in flight is given up. */
  #fail(thrown: unknown): void {
    this.#failure ??= { thrown };
    this.#parts?.runner.halt();
    void this.#engine?.stop(0);
  }

  /** Of workers that are given up none comes back: with no other one ready, rows would wait for nothing. */
  #watch({ change, reason }: WorkerEvent): void {
    if (change !== "crash_loop") return;
    const [status] = Object.values(this.#engine?.status().services ?? {});
    if (status === undefined || status.ready > 0) return;
    this.#fail(
      new ServableError("worker_crashed", `The service's workers crashed again and again, and no row can be run any more: ${reason ?? ""}`),
    );
  }
}

function stoppedEarly(): ServableError {
  return new ServableError("cancelled", "The run was stopped before it had begun.");
}

function refuseOtherServices(definition: Parameters<typeof whyNoBatch>[0]): void {
  const why = whyNoBatch(definition);
  if (why === undefined) return;
  throw new ServableError("invalid_argument", `Service '${definition.name}' ${why}, so it can't be run over a file of JSON lines.`);
}
