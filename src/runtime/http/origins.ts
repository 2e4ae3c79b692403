import type { IncomingHttpHeaders } from "node:http";
import { ServableError } from "../../errors.ts";

/** Says why a call may not come from where it comes; undefined where it may. */
export type OriginGuard = (headers: IncomingHttpHeaders) => ServableError | undefined;

/**
 * Turns away what a page of another origin sends. A browser lets any page POST to any server, this machine's own included: CORS
 * guards only what the page gets to read.
 *
 * @param origins - whose pages may call besides the server's own; `*` for all; undefined for no guard
 */
export function originGuard(origins: readonly string[] | undefined): OriginGuard | undefined {
  if (origins === undefined || origins.includes("*")) return undefined;
  const allowed = new Set(origins);
  return (headers) => {
    const { origin } = headers;
    const site = headers["sec-fetch-site"];
    // Nearly every client: no browser.
    if (origin === undefined && site === undefined) return undefined;
    if (origin !== undefined && allowed.has(origin)) return undefined;
    // What the browser says of itself holds also behind a proxy that changes the Host header.
    const isForeign = site === undefined ? hostOf(origin) !== headers.host?.toLowerCase() : site === "cross-site";
    return isForeign ? foreign(origin) : undefined;
  };
}

function hostOf(origin: string | undefined): string | undefined {
  return origin?.slice(origin.indexOf("://") + 3).toLowerCase();
}

function foreign(origin: string | undefined): ServableError {
  const named = origin !== undefined && /^[a-z][a-z\d+.-]*:\/\/[\w.:[\]-]{1,200}$/i.test(origin) ? origin : undefined;
  return new ServableError(
    "unauthenticated",
    `A page of ${named ?? "another site"} may not call this server, which asks nobody for a token. ` +
      `Its operator can allow it: --cors-origin ${named ?? "<origin>"}.`,
  );
}
