import { openSync } from "node:fs";
import { pino, type DestinationStream } from "pino";
import { causeText, formatPath, messageOf, ServableError } from "../errors.ts";
import type { EngineLogger, Observer, RequestEvent, WorkerEvent } from "../engine/observer.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { guardLog } from "./guarded-log.ts";
import { gatherLines, type GatheredLines } from "./gathered-lines.ts";
import { longestLine, writeRequestLine } from "./request-line.ts";

/** How the log is written. */
export interface LogOptions {
  /** @default "info" */
  readonly level?: "debug" | "info" | "warn" | "error" | "silent" | undefined;
  /** Structured lines, or lines for a person. @default "pretty" on a terminal, else "json" */
  readonly format?: "json" | "pretty" | undefined;
  /** Where lines go instead of standard output. */
  readonly destination?: DestinationStream | undefined;
  /** A file to whose end they go instead, structured if nothing else is said. */
  readonly file?: string | undefined;
}

const keys = { level: true, format: true, destination: true, file: true } satisfies KeysOf<LogOptions>;

/**
 * Makes the logger: pino, as structured lines or, on a terminal, for a person.
 *
 * @throws ServableError `invalid_config` for a file that can't be written to, and for an option that there is not
 */
export async function createLogger(options: LogOptions = {}): Promise<EngineLogger> {
  refuseUnknownKeys(options, keys, "createLogger");
  const format = options.format ?? (process.stdout.isTTY && options.file === undefined ? "pretty" : "json");
  const level = options.level ?? "info";
  const destination = options.destination ?? (await destinationFor(format, options.file));
  const logger: EngineLogger = pino({ level, base: null, timestamp: isoTime }, destination);
  if ("beginLine" in destination) gathered.set(logger, destination as GatheredLines);
  ours.add(logger);
  return logger;
}

/** The logger that was given, guarded where it is not one of ours; else a new one. @throws ServableError `invalid_config` for what is no logger */
export async function loggerOf(given: EngineLogger | undefined, options?: LogOptions): Promise<EngineLogger> {
  if (given === undefined) return createLogger(options);
  return ours.has(given) ? given : guardLog(given);
}

const ours = new WeakSet<EngineLogger>();

/** Loggers whose lines are gathered. */
const gathered = new WeakMap<EngineLogger, GatheredLines>();

let second = 0;
let upToSecond = "";

/** Under load many lines fall into one second, and writing a date is a good part of writing a line. */
function isoTime(): string {
  const now = Date.now();
  const ms = now % 1_000;
  if (now - ms !== second) {
    second = now - ms;
    upToSecond = `,"time":"${new Date(second).toISOString().slice(0, -4)}`;
  }
  return `${upToSecond}${ms < 10 ? "00" : ms < 100 ? "0" : ""}${ms}Z"`;
}

async function destinationFor(format: "json" | "pretty", file: string | undefined): Promise<DestinationStream> {
  const fd = file === undefined ? 1 : openLog(file);
  if (format === "json") return gatherLines(pino.destination({ fd, sync: false }));
  const { default: pretty } = await import("pino-pretty");
  const colorize = fd === 1 && process.stdout.isTTY;
  return pretty({ destination: fd, colorize, ignore: "pid,hostname", translateTime: "SYS:HH:MM:ss.l", singleLine: true, sync: true });
}

function openLog(file: string): number {
  try {
    return openSync(file, "a");
  } catch (thrown) {
    throw new ServableError("invalid_config", `The log can't be written to ${file}: ${messageOf(thrown)}.`, { cause: thrown });
  }
}

/** Writes one line for each request, with id, service, stage times and outcome (and nothing of its payload), and one for each change of a worker. */
export function requestLog(log: EngineLogger): Observer {
  const lines = gathered.get(log);
  const write = lines === undefined ? writeRequest.bind(undefined, log) : writingBytes(log, lines);
  return {
    requestFinished(event: RequestEvent): void {
      if (log.isLevelEnabled?.(event.error === undefined ? "info" : "error") !== false) write(event);
    },
    workerChanged(event: WorkerEvent): void {
      const { change, ...fields } = event;
      const text = `worker ${change.replace("_", " ")}`;
      const times = { startMs: fields.startMs && round(fields.startMs), warmupMs: fields.warmupMs && round(fields.warmupMs) };
      if (change === "ready" || change === "stopped" || change === "warmed_up") log.info({ ...fields, ...times }, text);
      else log.error(fields, text);
    },
  };
}

/** Writes the lines of requests that went well where lines are gathered, and leaves the others to pino. */
function writingBytes(log: EngineLogger, lines: GatheredLines): (event: RequestEvent) => void {
  return (event) => {
    if (event.error === undefined) {
      const end = writeRequestLine(lines.bytes, lines.beginLine(longestLine), infoAt(isoTime()), event);
      if (end > 0) {
        lines.endLine(end);
        return;
      }
    }
    writeRequest(log, event);
  };
}

/** How pino begins a line of the level "info". */
function infoAt(time: string): string {
  return `{"level":${pino.levels.values.info}${time}`;
}

function writeRequest(log: EngineLogger, event: RequestEvent): void {
  const fields = {
    requestId: event.requestId,
    service: event.service,
    outcome: event.outcome,
    ms: round(event.totalMs),
    stages: stageTimes(event),
    items: event.items,
  };
  const { error } = event;
  if (error === undefined) {
    log.info(fields, "request");
    return;
  }
  const failure = {
    ...fields,
    stage: error.stage,
    reason: error.message,
    fields: error.issues.length > 0 ? error.issues.slice(0, 10).map(({ path }) => shorten(formatPath(path))) : undefined,
    cause: error.cause === undefined ? undefined : causeText(error.cause),
  };
  if (isMishap(error.code)) log.error(failure, "request failed");
  else log.info(failure, "request refused");
}

/** The keys of a map are the client's to choose. */
function shorten(path: string): string {
  return path.length > 100 ? `${path.slice(0, 100)}…` : path;
}

function stageTimes(event: RequestEvent): Readonly<Record<string, number>> {
  const times: Record<string, number> = {};
  for (const { stage, ms } of event.stages) times[stage] = round((times[stage] ?? 0) + round(ms));
  return times;
}

/** Microseconds are enough, and keep the lines short. */
function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

const mishaps: ReadonlySet<string> = new Set(["service_failed", "invalid_output", "serialization_failed", "worker_crashed", "internal"]);

/** Whether a code means that something went wrong on the service's side; what stands in the log as an error. */
export function isMishap(code: string): boolean {
  return mishaps.has(code);
}
