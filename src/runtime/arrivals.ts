import { setImmediate as turn } from "node:timers/promises";

/** A connection, and what was sent over it, come in turns of their own. */
const quietTurns = 3;
/** Where something comes all the time, somebody has to be turned away. */
const longestMs = 250;

/**
 * Resolves when what had reached this machine has reached this process, too: connections that the system has taken and Node has not (it takes one of
 * them a turn), and requests that lie unread. To their clients they are accepted, and a listener that closes before resets them.
 *
 * @param count - of what has come so far
 */
export async function allArrived(count: () => number): Promise<void> {
  const until = performance.now() + longestMs;
  let before = count();
  for (let quiet = 0; quiet < quietTurns && performance.now() < until; quiet++) {
    await turn();
    const now = count();
    if (now !== before) quiet = -1;
    before = now;
  }
}

/** As {@link allArrived}, of what can't be counted. @param turns - how many connections it takes */
export async function turnsTaken(turns: number): Promise<void> {
  const until = performance.now() + longestMs;
  for (let taken = 0; taken < turns && performance.now() < until; taken++) await turn();
}
