import { ServableError } from "../errors.ts";

/**
 * The error for what one of a service's small functions gave, such as `priority` or `rows`.
 *
 * @param what - what it must give
 */
export function misfit(name: string, what: string, given: unknown): ServableError {
  // An async function's failure has nobody else to hear of it.
  if (given instanceof Promise) given.catch(() => undefined);
  const was = typeof given === "number" ? String(given) : `of the type ${given instanceof Promise ? "Promise" : typeof given}`;
  return new ServableError("service_failed", `The service's \`${name}\` must give ${what}; what it gave is ${was}.`);
}
