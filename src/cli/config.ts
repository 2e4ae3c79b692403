import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { z } from "zod";
import { ServableError, messageOf, type JsonValue } from "../errors.ts";
import type { ServicePolicy } from "../service/definition.ts";
import type { LogOptions } from "../telemetry/logs.ts";
import { ConfigFile } from "./config-file.ts";
import { describeIssue, type KnownKeys } from "./config-issue.ts";
import { isOrigin, longestTimerMs } from "./flags.ts";

/** What a `servable.yaml` says, with every path absolute. */
export interface ServableConfig {
  readonly services: readonly ConfiguredService[];
  readonly http: {
    readonly host?: string | undefined;
    readonly port?: number | undefined;
    readonly tokenFile?: string | undefined;
    readonly allowUnauthenticated?: boolean | undefined;
    readonly tls?: { readonly certFile: string; readonly keyFile: string } | undefined;
    readonly corsOrigins?: readonly string[] | undefined;
    readonly page?: boolean | undefined;
    readonly graceMs?: number | undefined;
  };
  readonly log: Pick<LogOptions, "level" | "format">;
}

/** One entry of `services`. */
export interface ConfiguredService {
  readonly module: string;
  readonly export?: string | undefined;
  readonly arguments?: readonly JsonValue[] | undefined;
  readonly policy?: ServicePolicy | undefined;
}

const text = z.string().min(1, "must not be empty");
const whole = (least: number, most = Number.MAX_SAFE_INTEGER): z.ZodNumber => z.int().min(least).max(most);

const stagesSchema = z.strictObject({ workers: whole(1) });
const batchingSchema = z.strictObject({
  maxRows: whole(1).optional(),
  maxDelayMs: z.number().min(0).optional(),
  preferredRows: z.array(whole(1)).optional(),
});
const policySchema = z.strictObject({
  placement: z.enum(["inline", "thread", "process"]).optional(),
  workers: whole(1, 1024).optional(),
  concurrency: whole(1).optional(),
  queue: whole(0).optional(),
  deadlineMs: whole(1, longestTimerMs).optional(),
  killAfterMs: whole(1, longestTimerMs).optional(),
  stages: stagesSchema.optional(),
  devices: z.array(whole(0)).optional(),
  batching: batchingSchema.optional(),
  maxBodyBytes: whole(1).optional(),
});
const serviceSchema = z.strictObject({
  module: text,
  export: text.optional(),
  arguments: z.array(z.json()).optional(),
  policy: policySchema.optional(),
});
const tlsSchema = z.strictObject({ certFile: text, keyFile: text });
const httpSchema = z.strictObject({
  host: text.optional(),
  port: whole(0, 65_535).optional(),
  tokenFile: text.optional(),
  allowUnauthenticated: z.boolean().optional(),
  tls: tlsSchema.optional(),
  corsOrigins: z.array(z.string().refine(isOrigin, "must be an origin such as https://example.com, or *")).optional(),
  page: z.boolean().optional(),
  graceMs: whole(0, longestTimerMs).optional(),
});
const logSchema = z.strictObject({
  level: z.enum(["debug", "info", "warn", "error", "silent"]).optional(),
  format: z.enum(["json", "pretty"]).optional(),
});
const configSchema = z.strictObject({
  services: z.array(serviceSchema).min(1, "must list at least one service"),
  http: httpSchema.optional(),
  log: logSchema.optional(),
});

/** The keys of each object of the file, by its path; `[]` stands for any index. */
const knownKeys: KnownKeys = {
  "": Object.keys(configSchema.shape),
  "services[]": Object.keys(serviceSchema.shape),
  "services[].policy": Object.keys(policySchema.shape),
  "services[].policy.stages": Object.keys(stagesSchema.shape),
  "services[].policy.batching": Object.keys(batchingSchema.shape),
  http: Object.keys(httpSchema.shape),
  "http.tls": Object.keys(tlsSchema.shape),
  log: Object.keys(logSchema.shape),
};

/**
 * Reads a `servable.yaml`. Paths in it are relative to it.
 *
 * @throws ServableError `invalid_config` with file, line and column of what is wrong
 */
export async function readConfig(path: string): Promise<ServableConfig> {
  const file = new ConfigFile(path, await read(path));
  const result = configSchema.safeParse(file.value);
  if (!result.success) {
    // A wrong key first: it is often the reason why another one is missing.
    const isOther = (issue: z.core.$ZodIssue): number => Number(issue.code !== "unrecognized_keys");
    const issues = result.error.issues.toSorted((a, b) => isOther(a) - isOther(b));
    const [first, ...more] = issues.flatMap((issue) => describeIssue(issue, file, knownKeys));
    const others = more.length === 0 ? "" : ` (and ${more.length} more ${more.length === 1 ? "mistake" : "mistakes"})`;
    throw new ServableError("invalid_config", `${first ?? `${path} is not a configuration of servable.`}${others}`);
  }
  const { services, http, log } = result.data;
  const absolute = (below: string): string => resolve(dirname(path), below);
  return {
    services: services.map((service) => ({
      ...service,
      module: service.module.startsWith("file:") ? service.module : absolute(service.module),
    })),
    http: {
      ...http,
      tokenFile: http?.tokenFile === undefined ? undefined : absolute(http.tokenFile),
      tls: http?.tls && { certFile: absolute(http.tls.certFile), keyFile: absolute(http.tls.keyFile) },
    },
    log: log ?? {},
  };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    const reason = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : messageOf(thrown);
    throw new ServableError("invalid_config", `The configuration ${basename(path)} can't be read: ${reason} (${path}).`, { cause: thrown });
  }
}
