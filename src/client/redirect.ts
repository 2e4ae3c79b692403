import { ServableError } from "../errors.ts";

const statuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * What a redirect fails with; undefined for any other answer. None is followed: fetch would take the caller's headers and input along to whatever
 * address it names, keep back only what it knows to be secret, and turn most POSTs into a GET.
 */
export function redirectFailure(response: Response, origin: string, requestId: string | undefined): ServableError | undefined {
  const location = response.headers.get("location");
  // Browsers tell neither the status nor where it leads.
  const isOpaque = response.type === "opaqueredirect";
  if (!isOpaque && !(statuses.has(response.status) && location !== null)) return undefined;
  const target = location === null ? undefined : targetOf(location, response.url === "" ? origin : response.url);
  const to = target === undefined ? "" : ` to ${target}`;
  const text = `${origin} redirects${to}, where no request is sent on: give the client the address of the service itself.`;
  return new ServableError("unavailable", text, { requestId, details: isOpaque ? {} : { status: response.status } });
}

/** Without its query, in which there may be a secret. */
function targetOf(location: string, base: string): string | undefined {
  if (!URL.canParse(location, base)) return undefined;
  const { origin, pathname, protocol } = new URL(location, base);
  return protocol === "http:" || protocol === "https:" ? `${origin}${pathname}` : undefined;
}
