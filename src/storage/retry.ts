import { setTimeout as pause } from "node:timers/promises";
import { ServableError } from "../errors.ts";

/** How often something is tried again. */
export interface RetryOptions {
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
}

const firstPauseMs = 200;
const longestPauseMs = 10_000;

/** Whether a failure may go away by itself. */
export function isPassing(thrown: unknown): boolean {
  return ServableError.isInstance(thrown) && thrown.code === "unavailable";
}

/** Waits before the next try, longer each time and never quite as long, so that those who failed together don't come back together. */
export async function pauseBefore(retry: number, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** (retry - 1));
  try {
    await pause(longest * (0.5 + Math.random() / 2), undefined, signal === undefined ? {} : { signal });
  } catch (thrown) {
    throw signal?.aborted === true ? signal.reason : thrown;
  }
}

/** Does something, again where it failed with what may go away by itself. */
export async function withRetries<T>({ retries, signal }: RetryOptions, work: () => Promise<T>): Promise<T> {
  for (let retry = 1; ; retry += 1) {
    try {
      return await work();
    } catch (thrown) {
      if (!isPassing(thrown) || retry > retries) throw thrown;
      await pauseBefore(retry, signal);
    }
  }
}
