import type { EngineLogger } from "../../engine/observer.ts";

const nothing = (): void => undefined;

/** For looking at models, of which the answer is what is found, and not lines of a log. */
export const quietLog: EngineLogger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => quietLog,
  isLevelEnabled: () => false,
};
