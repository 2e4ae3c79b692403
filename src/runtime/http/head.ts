import { ServableError } from "../../errors.ts";
import { newRequestId } from "../../service/request-id.ts";

/** The request's id: the client's own if it is sound (it ends up in logs and headers), else a new one. */
export function requestIdOf(header: string | readonly string[] | undefined): string {
  return typeof header === "string" && /^[\w.:/+=-]{1,128}$/.test(header) ? header : newRequestId();
}

/** The time the client gives: the header `x-timeout-ms`. @throws ServableError `invalid_request` */
export function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const timeoutMs = Number(header);
  if (Number.isFinite(timeoutMs) && timeoutMs >= 1) return Math.floor(timeoutMs);
  throw new ServableError("invalid_request", "The header x-timeout-ms must be a number of milliseconds, 1 or more.");
}

/** Never shown to a service: what proves who the client is. */
const secrets: ReadonlySet<string> = new Set(["authorization", "proxy-authorization", "cookie"]);

/** The headers as a service sees them. */
export function metadataOf(headers: Readonly<Record<string, string | readonly string[] | undefined>>): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || secrets.has(name)) continue;
    metadata[name] = typeof value === "string" ? value : value.join(", ");
  }
  return metadata;
}
