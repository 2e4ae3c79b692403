import { ServableError, messageOf } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { InferenceClient } from "../open-inference/inference-client.ts";
import { openClient } from "./connect.ts";

/** Where the Triton beside a service is looked for. */
export interface LocalTritonOptions {
  /** Which protocol to speak. @default whichever answers first, HTTP before gRPC */
  readonly protocol?: "http" | "grpc" | undefined;
  /** How long to wait until it is ready. @default 60000 */
  readonly timeoutMs?: number | undefined;
  /** Gives up waiting. @default none */
  readonly signal?: AbortSignal | undefined;
  /** The variables to look at. @default those of this process */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

const keys = { protocol: true, timeoutMs: true, signal: true, environment: true } satisfies KeysOf<LocalTritonOptions>;

/** The Triton beside a service. */
export interface LocalTriton {
  /** Where it is. */
  readonly url: string;
  readonly client: InferenceClient;
  /** Gives the connection back. */
  close(): void;
}

/** The variables that name its address, one for each protocol. */
const variables = { http: "SERVABLE_TRITON_HTTP", grpc: "SERVABLE_TRITON_GRPC" } as const;
const usual = { http: "http://127.0.0.1:8000", grpc: "grpc://127.0.0.1:8001" } as const;

const shortestPauseMs = 100;
const longestPauseMs = 1_000;
const longestAskMs = 2_000;

interface Candidate {
  readonly url: string;
  /** Where the address is from. */
  readonly source: string;
}

/**
 * Connects to the Triton beside this service, in the same pod or on the same machine, and waits until it is ready. Its address is in the variables
 * `SERVABLE_TRITON_HTTP` and `SERVABLE_TRITON_GRPC`; where neither is set it is on the usual ports, 8000 (HTTP) and 8001 (gRPC), of 127.0.0.1.
 *
 * @throws ServableError `unavailable` with what was tried, where none is ready in time; `invalid_config` for a variable that is no address; `cancelled`
 * @example
 * ```ts
 * import { localTriton, TritonModel } from "servable/triton";
 *
 * const { client } = await localTriton({ timeoutMs: 120_000 });
 * const model = await TritonModel.connect(client, "classifier");
 * ```
 */
export async function localTriton(options: LocalTritonOptions = {}): Promise<LocalTriton> {
  refuseUnknownKeys(options, keys, "localTriton");
  const timeoutMs = options.timeoutMs ?? 60_000;
  if (!(timeoutMs > 0)) throw new ServableError("invalid_argument", `timeoutMs must be a number above 0; it is ${timeoutMs}.`);
  const candidates = candidatesOf(options).map((candidate) => ({ ...candidate, ...open(candidate), said: "was not asked" }));
  const until = performance.now() + timeoutMs;
  const { signal } = options;
  let chosen: (typeof candidates)[number] | undefined;
  try {
    for (let pauseMs = shortestPauseMs; chosen === undefined; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      for (const candidate of candidates) {
        if (signal?.aborted === true) throw cancelled(signal.reason);
        const leftMs = Math.max(1, until - performance.now());
        candidate.said = await ask(candidate.client, Math.min(leftMs, longestAskMs), signal);
        if (candidate.said !== "is ready") continue;
        chosen = candidate;
        break;
      }
      if (chosen === undefined && performance.now() + pauseMs >= until) throw noneFound(timeoutMs, candidates);
      if (chosen === undefined) await pause(pauseMs, signal);
    }
    const { url, client, close } = chosen;
    return { url, client, close };
  } finally {
    for (const candidate of candidates) if (candidate !== chosen) candidate.close();
  }
}

function candidatesOf({ protocol, environment = environmentHere() }: LocalTritonOptions): readonly Candidate[] {
  const protocols = protocol === undefined ? (["http", "grpc"] as const) : ([protocol] as const);
  const named = protocols.flatMap((one): Candidate[] => {
    const url = environment[variables[one]] ?? "";
    return url === "" ? [] : [{ url, source: `from ${variables[one]}` }];
  });
  return named.length > 0 ? named : protocols.map((one) => ({ url: usual[one], source: "the usual address" }));
}

function open({ url, source }: Candidate): ReturnType<typeof openClient> {
  try {
    return openClient(url);
  } catch (thrown) {
    throw new ServableError("invalid_config", `The address ${source} can't be used: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** @returns what there is to say of the server; `is ready` for the right one */
async function ask(client: InferenceClient, timeoutMs: number, signal: AbortSignal | undefined): Promise<string> {
  const call = { timeoutMs, signal };
  try {
    if (await client.ready(call)) return "is ready";
    return (await client.live(call)) ? "lives, and is not ready" : "does not answer";
  } catch (thrown) {
    return `is no such server: ${messageOf(thrown)}`;
  }
}

function noneFound(timeoutMs: number, candidates: readonly (Candidate & { readonly said: string })[]): ServableError {
  const tried = candidates.map(({ url, source, said }) => `${url} (${source}) ${said}`).join("; ");
  return new ServableError(
    "unavailable",
    `No Triton is ready beside this service after ${timeoutMs} ms. Tried: ${tried}. Start one, or name its address in ${variables.http} or ${variables.grpc}.`,
  );
}

function cancelled(reason: unknown): ServableError {
  if (ServableError.isInstance(reason)) return reason;
  return new ServableError("cancelled", "Waiting for a Triton was cancelled.", { cause: reason });
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** The variables of this process. */
function environmentHere(): Readonly<Record<string, string | undefined>> {
  return process.env;
}
