import { InvalidArgumentError, Option, type Command } from "commander";
import type { OfflineResult, OfflineRuntime } from "../runtime/offline/offline-runtime.ts";
import { ServableError } from "../errors.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { ProgressDisplay, countText, durationText, numberText } from "./batch-progress.ts";
import { longestTimerMs, policyOf, wholeNumber, type ServeFlags } from "./flags.ts";
import { Lifecycle, runningServices, signalExitCode } from "./lifecycle.ts";
import { errorLine, exitCodeOf, writeError } from "./print.ts";

type SharedFlags = Pick<
  ServeFlags,
  "placement" | "workers" | "concurrency" | "deadlineMs" | "maxBodyBytes" | "graceMs" | "logLevel" | "logFormat"
>;
type BatchFlags = SharedFlags & { readonly export?: string; readonly restart?: true; readonly quiet?: true };

/** Every row has its answer, but some are errors. */
const rowsFailedExitCode = 3;
const defaultGraceMs = 30_000;
const examples = `
Each line of the input is a request, each line of the output its answer, in the same order: {"output":…}, or
{"error":…,"line":…} for a row that failed. Blank lines are passed over. "-" is standard input or output.

A run that was broken off, even killed, goes on when the same command is given again.

Exit codes: 0 every row has its answer; 3 every row has one, but some are errors; 1 it was broken off by a failure;
2 the command is wrong; 129, 130, 143 a signal stopped it.

Examples:
  servable batch ./double.ts in.jsonl out.jsonl
  servable batch ./models.ts in.jsonl out.jsonl --export classify --workers 2
  gunzip -c in.jsonl.gz | servable batch ./double.ts - - | gzip > out.jsonl.gz
`;

/** `servable batch`: runs a service over a file. */
export function addBatch(program: Command): void {
  const number = (flag: string, description: string, least: number, most: number): Option =>
    new Option(flag, description).argParser(wholeNumber(least, most));
  const most = Number.MAX_SAFE_INTEGER;
  program
    .command("batch")
    .description("run a service over a file of newline-delimited JSON")
    .argument("<module>", "a file, TypeScript or JavaScript", notEmpty)
    .argument("<input>", "newline-delimited JSON, an input a line; - for standard input", notEmpty)
    .argument("<output>", "where answers go; - for standard output", notEmpty)
    .option("--restart", "begin anew, over whatever is in the output")
    .option("--quiet", "say nothing but what goes wrong")
    .optionsGroup("The service:")
    .option("--export <name>", "which one, where the module exports several")
    .addOption(new Option("--placement <where>", "where it runs").choices(["inline", "thread", "process"]))
    .addOption(number("--workers <number>", "worker threads or processes", 1, 1024))
    .addOption(number("--concurrency <number>", "rows that run at the same time (default: what fills its batches, 64 at least)", 1, most))
    .addOption(number("--deadline-ms <number>", "time for one row, its wait for others included (default: an hour)", 1, longestTimerMs))
    .addOption(number("--max-body-bytes <number>", "longest line (default: 16 MiB)", 1, most))
    .optionsGroup("Running:")
    .addOption(number("--grace-ms <number>", "time for rows in flight when it is stopped (default: 30000)", 0, longestTimerMs))
    .addOption(new Option("--log-level <level>", "(default: warn)").choices(["debug", "info", "warn", "error", "silent"]))
    .addOption(new Option("--log-format <format>", "(default: pretty on a terminal, else json)").choices(["json", "pretty"]))
    .addHelpText("after", examples)
    .action(batch);
}

async function batch(module: string, inputName: string, outputName: string, flags: BatchFlags): Promise<void> {
  const display = new ProgressDisplay(process.stderr, flags.quiet === true);
  const log = await createBatchLogger(display, flags);
  const graceMs = flags.graceMs ?? defaultGraceMs;
  const lifecycle = new Lifecycle(log, graceMs, (signal) => {
    display.say(`${signal}: no more rows are begun; those in flight finish first`);
    return signalExitCode(signal);
  });
  lifecycle.followNpm();
  let running: OfflineRuntime | undefined;
  try {
    const [{ OfflineRuntime }, { ServiceLoader }] = await Promise.all([
      import("../runtime/offline/offline-runtime.ts"),
      import("../service/loader.ts"),
    ]);
    const loader = new ServiceLoader({ module, export: flags.export });
    const policy = policyOf(flags);
    const runtime = new OfflineRuntime({
      service: { service: loader, policy },
      input: inputName === "-" ? process.stdin : inputName,
      output: outputName === "-" ? process.stdout : outputName,
      restart: flags.restart,
      graceMs,
      log,
    });
    running = runtime;
    lifecycle.manage({
      running: () => runningServices(runtime.status),
      stop: async () => {
        await runtime.stop();
        display.stop();
        const result = await runtime.finished.catch(() => undefined);
        // Whatever asked for the end, it came too late: the run is complete.
        if (result?.complete === true) return exitCodeOfRun(result);
        if (result !== undefined) tellStopped(display, runtime, outputName);
        return undefined;
      },
    });
    if (lifecycle.ending === undefined) await runtime.start();
    tellStart(display, runtime, flags);
    display.start(() => runtime.progress);
    const since = performance.now();
    const result = await runtime.finished;
    display.stop();
    if (result.complete) display.say(doneText(result, runtime, since));
    await lifecycle.end(0);
  } catch (thrown) {
    display.stop();
    if (running?.progress !== undefined) tellStopped(display, running, outputName);
    const isLeftBehind = Object.values(running?.status?.services ?? {}).some(({ running: count }) => count > 0);
    if (isLeftBehind || (lifecycle.ending !== undefined && !isCancelled(thrown))) {
      await writeError(errorLine(thrown));
      await lifecycle.end(exitCodeOf(thrown));
    }
    // Whatever a stop in the middle of a start breaks off is no failure.
    await lifecycle.ending;
    throw thrown;
  }
}

function exitCodeOfRun({ failed }: OfflineResult): number {
  return failed > 0 ? rowsFailedExitCode : 0;
}

function isCancelled(thrown: unknown): boolean {
  return ServableError.isInstance(thrown) && thrown.code === "cancelled";
}

function tellStart(display: ProgressDisplay, { progress, status }: OfflineRuntime, flags: BatchFlags): void {
  if (progress !== undefined && progress.earlierRows > 0) display.say(`going on behind ${countText(progress.earlierRows)}`);
  const [service] = Object.values(status?.services ?? {});
  if (service?.placement === "inline" && flags.workers !== undefined) {
    display.write("servable: workers has no effect on a service that runs inline; ask for placement thread or process, too.\n");
  }
}

function tellStopped(display: ProgressDisplay, { progress }: OfflineRuntime, outputName: string): void {
  if (progress === undefined) return;
  const { rows, failed, canResume } = progress;
  const name = outputName === "-" ? "standard output" : outputName;
  const failures = failed > 0 ? `, ${numberText(failed)} of them failed` : "";
  const hint = canResume ? "give the same command again to go on" : "a run from standard input, or into a stream, can't be gone on with";
  display.say(`stopped: ${name} has ${countText(rows)}${failures}; ${hint}`);
}

function doneText({ rows, failed }: OfflineResult, { progress }: OfflineRuntime, since: number): string {
  const seconds = (performance.now() - since) / 1_000;
  const own = rows - (progress?.earlierRows ?? 0);
  const pace = seconds > 0.5 ? `, ${numberText(own / seconds)} rows/s` : "";
  return `done: ${countText(rows)} in ${durationText(seconds)}${pace}, ${numberText(failed)} failed`;
}

/** The log goes where the bar is: standard output may be the run's. */
async function createBatchLogger(display: ProgressDisplay, flags: BatchFlags): Promise<EngineLogger> {
  const { createLogger } = await import("../telemetry/logs.ts");
  const isPretty = (flags.logFormat ?? (process.stderr.isTTY ? "pretty" : "json")) === "pretty";
  const level = flags.logLevel ?? "warn";
  if (!isPretty) return createLogger({ level, format: "json", destination: display });
  const { prettyFactory } = await import("pino-pretty");
  const pretty = prettyFactory({
    colorize: process.stderr.isTTY,
    ignore: "pid,hostname",
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
  });
  return createLogger({ level, destination: { write: (line) => display.write(pretty(line)) } });
}

function notEmpty(text: string): string {
  if (text === "") throw new InvalidArgumentError("It must not be empty.");
  return text;
}
