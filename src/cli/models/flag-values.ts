import { InvalidArgumentError } from "commander";
import { apiNames, type ApiName } from "../../runtime/http/open-inference/routes.ts";
import { isConfigName } from "../../server/options.ts";
import type { RateLimitResource } from "../../server/rate-limiter.ts";
import type { RestrictedApi } from "../../runtime/http/open-inference/restrictions.ts";

/** Collects the values of a flag that may be given more than once. */
export function collected<T>(read: (text: string) => T): (text: string, before: readonly T[] | undefined) => readonly T[] {
  return (text, before) => [...(before ?? []), read(text)];
}

/** A yes or no, as `tritonserver` takes it. */
export function yesOrNo(text: string): boolean {
  switch (text.toLowerCase()) {
    case "true":
    case "1":
    case "on":
      return true;
    case "false":
    case "0":
    case "off":
      return false;
    default:
      throw new InvalidArgumentError("It must be true or false.");
  }
}

/** One setting of a backend; an empty name means all backends. */
export interface BackendSetting {
  readonly backend: string;
  readonly name: string;
  readonly value: string;
}

/** Reads `backend,name=value`, or `name=value` for all backends. */
export function backendSetting(text: string): BackendSetting {
  const match = /^(?:([^,=]*),)?([^=,]+)=(.*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be <backend>,<name>=<value>, or <name>=<value> for all backends.");
  const [, backend = "", name = "", value = ""] = match;
  return { backend, name, value };
}

/** Reads `local,size=<bytes>`: the room of the response cache. */
export function cacheBytes(text: string): number {
  const [, cache, name, value = ""] = /^([^,=]*),([^,=]+)=(.*)$/.exec(text) ?? [];
  if (cache === undefined) throw new InvalidArgumentError("It must be local,size=<bytes>.");
  if (cache !== "local") throw new InvalidArgumentError(`There is no cache '${cache}'; there is 'local'.`);
  if (name !== "size") throw new InvalidArgumentError(`The cache 'local' has no setting '${name ?? ""}'; it has 'size'.`);
  const bytes = Number(value);
  if (/^\d+$/.test(value) && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new InvalidArgumentError(`The size of the cache must be a whole number of bytes above 0, not '${value}'.`);
}

/** Reads `name:count`, or `name:count:device`. */
export function rateLimitResource(text: string): RateLimitResource {
  const [, name, count, device] = /^(.+?):(\d{1,9})(?::(\d{1,9}))?$/.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("It must be <name>:<count>, or <name>:<count>:<device>.");
  return { name, count: Number(count), device: device === undefined ? undefined : Number(device) };
}

/** Reads `api,api:header=value`. */
export function restrictedApi(text: string): RestrictedApi {
  const match = /^([^:]+):([A-Za-z0-9!#$%&'*+.^_`|~-]+)=(.+)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be <api>[,<api>…]:<header>=<value>.");
  const [, list = "", header = "", value = ""] = match;
  const apis = list.split(",").map((name): ApiName => {
    const api = apiNames.find((known) => known === name);
    if (api === undefined) throw new InvalidArgumentError(`There is no API '${name}'; there are: ${apiNames.join(", ")}.`);
    return api;
  });
  return { apis, header, value };
}

/** A pattern for the names of headers, which come in lower case. */
export function headerPattern(text: string): RegExp {
  try {
    return new RegExp(text, "i");
  } catch {
    throw new InvalidArgumentError("It must be a regular expression.");
  }
}

/** Of tritonserver's flags, one that this server can't grant: said at once, not found out later. */
export function onlyOff(instead: string): (text: string) => false {
  return (text) => {
    if (!yesOrNo(text)) return false;
    throw new InvalidArgumentError(instead);
  };
}

/** The name of a configuration beside the usual one, as tritonserver takes it. */
export function configName(text: string): string {
  if (isConfigName(text)) return text;
  throw new InvalidArgumentError("It must be the name of a file, without spaces and without .pbtxt.");
}
