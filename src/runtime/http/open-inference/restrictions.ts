import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { KeysOf } from "../../../known-keys.ts";
import { RouteFailure } from "./failure.ts";
import type { ApiName } from "./routes.ts";

/** Routes that only those may ask who send a header with a value: `--http-restricted-api`. */
export interface RestrictedApi {
  readonly apis: readonly ApiName[];
  readonly header: string;
  readonly value: string;
}

/** The keys of {@link RestrictedApi}. */
export const restrictedKeys: KeysOf<RestrictedApi> = { apis: "needed", header: "needed", value: "needed" };

/** Which header each restricted group of routes asks for. */
export type Restrictions = ReadonlyMap<ApiName, Readonly<{ header: string; value: string }>>;

/** Brings restrictions into a form that is looked up at once; undefined where there is none. */
export function resolveRestrictions(restricted: readonly RestrictedApi[]): Restrictions | undefined {
  if (restricted.length === 0) return undefined;
  return new Map(restricted.flatMap(({ apis, header, value }) => apis.map((api) => [api, { header, value }] as const)));
}

/** @throws RouteFailure 403 where the header is missing */
export function checkRestriction(restrictions: Restrictions, api: ApiName, headers: IncomingHttpHeaders): void {
  const asked = restrictions.get(api);
  if (asked === undefined || isSameSecret(headers[asked.header.toLowerCase()], asked.value)) return;
  throw new RouteFailure(403, `This API is restricted, expecting header '${asked.header}'`);
}

/** In a time that tells nothing of how much of it was right. */
export function isSameSecret(given: string | readonly string[] | undefined, wanted: string): boolean {
  if (typeof given !== "string") return false;
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}
