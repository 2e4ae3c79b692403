import { InvalidArgumentError, Option, type Command } from "commander";
import { ServableError } from "../errors.ts";
import type { Placement, ServicePolicy } from "../service/definition.ts";
import type { HttpRuntimeOptions } from "../runtime/http/options.ts";
import type { LogOptions } from "../telemetry/logs.ts";

/** The longest time that a timer can wait; a longer one would fire at once. */
export const longestTimerMs: number = 2 ** 31 - 1;

/** What the flags of `serve` and `run` say; undefined where one was not given. */
export interface ServeFlags {
  readonly host?: string;
  readonly port?: number;
  readonly tokenFile?: string;
  readonly allowUnauthenticated?: true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly corsOrigin?: readonly string[];
  /** True also where it was not given. */
  readonly page: boolean;
  readonly graceMs?: number;
  readonly placement?: Placement;
  readonly workers?: number;
  readonly concurrency?: number;
  readonly queue?: number;
  readonly deadlineMs?: number;
  readonly maxBodyBytes?: number;
  readonly logLevel?: LogOptions["level"];
  readonly logFormat?: LogOptions["format"];
  readonly watch?: true;
}

/** Adds the flags of everything that serves. */
export function addServeFlags(command: Command): Command {
  const number = (flag: string, description: string, least: number, most: number): Option =>
    new Option(flag, description).argParser(wholeNumber(least, most));
  const most = Number.MAX_SAFE_INTEGER;
  return command
    .optionsGroup("Address:")
    .option("--host <address>", "where to listen (default: 127.0.0.1)")
    .addOption(number("--port <number>", "0 takes any free port (default: 3000)", 0, 65_535))
    .option("--token-file <file>", "take only requests with a bearer token of this file, one a line")
    .option("--allow-unauthenticated", "serve anybody, also off this machine")
    .option("--tls-cert <file>", "serve HTTPS: the certificate (PEM)")
    .option("--tls-key <file>", "serve HTTPS: the key (PEM)")
    .addOption(new Option("--cors-origin <origin>", "let pages of this origin call (repeatable; * for all)").argParser(collectOrigins))
    .option("--no-page", "serve no page at /")
    .optionsGroup("Every service:")
    .addOption(new Option("--placement <where>", "where services run").choices(["inline", "thread", "process"]))
    .addOption(number("--workers <number>", "worker threads or processes of each service", 1, 1024))
    .addOption(number("--concurrency <number>", "requests that run at the same time (default: 64)", 1, most))
    .addOption(number("--queue <number>", "requests that wait meanwhile (default: 256)", 0, most))
    .addOption(number("--deadline-ms <number>", "time for one answer (default: 30000)", 1, longestTimerMs))
    .addOption(number("--max-body-bytes <number>", "largest body (default: 16 MiB)", 1, most))
    .optionsGroup("Running:")
    .addOption(
      number("--grace-ms <number>", "time for requests in flight at the end (default: 30000; with --watch 5000)", 0, longestTimerMs),
    )
    .option("--watch", "start again when code, JSON, YAML or a model changes")
    .addOption(new Option("--log-level <level>", "(default: info)").choices(["debug", "info", "warn", "error", "silent"]))
    .addOption(new Option("--log-format <format>", "(default: pretty on a terminal, else json)").choices(["json", "pretty"]));
}

/** The flags that go to the runtime. @throws ServableError `invalid_argument` for a certificate without its key, or the other way round */
export function httpOptionsOf(flags: ServeFlags): Omit<HttpRuntimeOptions, "services"> {
  const { host, port, tokenFile, tlsCert, tlsKey } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [given, missing] = tlsCert === undefined ? ["--tls-key", "--tls-cert"] : ["--tls-cert", "--tls-key"];
    throw new ServableError("invalid_argument", `${given} needs ${missing} beside it: HTTPS takes a certificate and its key.`);
  }
  return {
    host,
    port,
    auth: tokenFile === undefined ? undefined : { tokenFile },
    allowUnauthenticated: flags.allowUnauthenticated,
    tls: tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey },
    corsOrigins: flags.corsOrigin,
    page: flags.page ? undefined : false,
    graceMs: flags.graceMs ?? (flags.watch === true ? 5_000 : undefined),
  };
}

/** The flags that go to every service; they win over what a service says of itself. */
export function policyOf(
  flags: Pick<ServeFlags, "placement" | "workers" | "concurrency" | "queue" | "deadlineMs" | "maxBodyBytes">,
): ServicePolicy {
  const { placement, workers, concurrency, queue, deadlineMs, maxBodyBytes } = flags;
  return { placement, workers, concurrency, queue, deadlineMs, maxBodyBytes };
}

/** What of `first` is given, and for the rest what `second` says. */
export function firstGiven<T extends object>(first: T, second: T): T {
  const given = Object.entries(first).filter(([, value]) => value !== undefined);
  return { ...second, ...Object.fromEntries(given) };
}

/** Reads a whole number of a flag; commander says which flag it was. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

/** Whether a text is what a browser sends as `Origin`, or `*`. */
export function isOrigin(text: string): boolean {
  return text === "*" || (URL.canParse(text) && new URL(text).origin === text);
}

function collectOrigins(origin: string, before: readonly string[] | undefined): readonly string[] {
  if (!isOrigin(origin)) throw new InvalidArgumentError("It must be an origin such as https://example.com, with no path, or *.");
  return [...(before ?? []), origin];
}
