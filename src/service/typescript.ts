import { ServableError } from "../errors.ts";

let registered: Promise<void> | undefined;

/**
 * Lets this thread import TypeScript. Each worker, thread or process, calls it for itself: `node --import tsx` does not reach them.
 *
 * @throws ServableError `missing_dependency`
 */
export function registerTypeScript(): Promise<void> {
  registered ??= register();
  return registered;
}

async function register(): Promise<void> {
  try {
    const [esm, cjs] = await Promise.all([import("tsx/esm/api"), import("tsx/cjs/api")]);
    cjs.register();
    esm.register();
  } catch (thrown) {
    throw new ServableError("missing_dependency", "Running TypeScript needs the package tsx: npm install tsx", { cause: thrown });
  }
}
