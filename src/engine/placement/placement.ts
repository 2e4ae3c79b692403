import type { CallContext } from "../../service/call-context.ts";
import type { Placement } from "../../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { CallResult, MaybePromise } from "../../service/service.ts";

/** How the places of one service are. */
export interface PlacementStatus {
  readonly placement: Placement;
  /** Places that take requests now. */
  readonly ready: number;
  /** Places that there should be. */
  readonly total: number;
  /** Why places are missing; undefined when none are. */
  readonly reason: string | undefined;
}

/** Where a service runs: constructs its instances, hands them requests, and ends them. */
export interface ServicePlacement {
  /**
   * Constructs and sets up every instance.
   *
   * @throws ServableError `load_failed`
   */
  start(signal: AbortSignal): Promise<void>;
  /** Runs one request; aborting its context passes the abort on. */
  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse>;
  /** Runs a value as it is, past handlers and schemas; only where the service's own stages run on this thread. */
  call?(value: unknown, context: CallContext): CallResult<unknown>;
  status(): PlacementStatus;
  /** How many runs there are in workers, those included that nobody waits for any more. */
  readonly inWorkers: number;
  /** Closes every instance; called when nothing runs any more, or when what runs can't be waited for. */
  stop(): Promise<void>;
}
