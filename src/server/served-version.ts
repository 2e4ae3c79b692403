import type { ServedModel } from "../runtime/model-plane.ts";
import type { VersionStatistics } from "./statistics.ts";

/** One version of a model from its load to its unload, whatever runs behind it. */
export interface ServedVersion extends ServedModel {
  readonly statistics: VersionStatistics;
  /** Whether it takes requests. */
  readonly ready: boolean;
  /** What runs in it, and in which placement: after its stop, what nobody waits for any more. */
  readonly running: { readonly count: number; readonly placement: string };
  /** Requests that wait for their turn. */
  readonly pending: number;
  /** Whether its responses are kept. */
  readonly cached?: boolean | undefined;
  /** Loads it. @throws ServableError */
  start(): Promise<void>;
  /** Takes no more requests, ends those that it has, and unloads it. */
  stop(graceMs: number): Promise<void>;
}
