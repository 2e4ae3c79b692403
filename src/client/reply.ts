import type { Answer } from "./answer.ts";
import { closable } from "./closable.ts";

/** What every method gives: to be awaited (a value, or the iterable of a stream) or to be iterated (a value is one item). */
export type Reply = Promise<unknown> & AsyncIterable<unknown>;

/**
 * Makes a {@link Reply} of an answer that is on its way. Only that answer will tell whether it is a stream.
 *
 * @param leave - ends the call, when its loop is left
 */
export function createReply(answer: Promise<Answer>, leave: () => void): Reply {
  const result = answer.then((settled) => (settled.kind === "stream" ? settled.items : settled.value));
  // A reply that is iterated, perhaps later, is never awaited; its failure comes out of the loop and must not end the process as an
  // unhandled rejection. Whoever awaits it gets a promise of its own, which rejects as ever.
  result.catch(() => undefined);
  return Object.assign(result, { [Symbol.asyncIterator]: () => closable(iterate(answer), leave) });
}

async function* iterate(answer: Promise<Answer>): AsyncGenerator {
  const settled = await answer;
  if (settled.kind === "stream") yield* settled.items;
  else yield settled.value;
}
