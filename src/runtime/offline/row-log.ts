import type { EngineLogger, Observer, RequestEvent } from "../../engine/observer.ts";
import { isMishap, requestLog } from "../../telemetry/logs.ts";

/** A service that fails every row of a long file must not fill the disk with the reasons. */
const mostMishaps = 100;

/** Writes a line for each row only where that is asked for (level info); else why the first ones failed on the service's side. */
export function rowLog(log: EngineLogger): Observer {
  const every = requestLog(log);
  let mishaps = 0;
  return {
    ...every,
    requestFinished(event: RequestEvent): void {
      if (log.isLevelEnabled?.("info") !== false) {
        every.requestFinished?.(event);
        return;
      }
      const { error } = event;
      if (error === undefined || !isMishap(error.code) || mishaps > mostMishaps) return;
      mishaps += 1;
      if (mishaps <= mostMishaps) every.requestFinished?.(event);
      else log.warn({}, `more than ${mostMishaps} rows failed in the service; the output has them all, the log level info logs them all`);
    },
  };
}
