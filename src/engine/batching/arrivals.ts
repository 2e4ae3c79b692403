import { CallContext } from "../../service/call-context.ts";
import type { MaybePromise } from "../../service/maybe-promise.ts";

/** What is asked of a service's gate. */
export interface Admission {
  /** Slots that nobody holds. */
  readonly free: number;
  /** Requests that were admitted and hold no slot: their bodies still come, or they queue. */
  readonly toCome: number;
}

/** Where a request is that holds a slot: how many runs of the model it has in hand, or `before`. */
type Position = number;
/** It had none yet. */
const before = -1;

/**
 * Tells how many requests may still come to the model before one that is there already is answered: a batch that waits for others
 * waits for nothing. Those that queue for a slot which the waiting ones hold can't come, nor can those that have their answer.
 */
export class Arrivals {
  /** To be set by who wants to know that fewer are expected than were. */
  onFewer: (() => void) | undefined;
  readonly #admission: Admission;
  readonly #positions = new Map<CallContext, Position>();
  #before = 0;
  /** Those whose runs are done: their slots are free soon. */
  #behind = 0;
  /** Runs that do not say whose they are. */
  #nameless = 0;

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** How many may still come. */
  get expected(): number {
    const { free, toCome } = this.#admission;
    // A run without a name is of one of those that count as not there yet.
    return Math.max(0, this.#before - this.#nameless) + Math.min(free + this.#behind, toCome);
  }

  /** Follows a request through what it does while it holds its slot. A stream is followed to its first item: when it runs the model nobody can tell. */
  during<T>(context: CallContext, work: () => MaybePromise<T>): MaybePromise<T> {
    this.#move(context, before);
    const end = (): void => {
      this.#move(context, undefined);
    };
    let result: MaybePromise<T>;
    try {
      result = work();
    } catch (thrown) {
      end();
      throw thrown;
    }
    if (result instanceof Promise) result.then(end, end);
    else end();
    return result;
  }

  /** A run of the model has come. @param context - the request that it is for, where it says so */
  came(context: unknown): void {
    if (!(context instanceof CallContext)) this.#nameless += 1;
    const position = this.#positionOf(context);
    if (position !== undefined) this.#move(context as CallContext, position === before ? 1 : position + 1);
    this.onFewer?.();
  }

  /** A run that came is over. */
  ended(context: unknown): void {
    if (!(context instanceof CallContext)) this.#nameless -= 1;
    const position = this.#positionOf(context);
    if (position !== undefined && position > 0) this.#move(context as CallContext, position - 1);
  }

  /** Requests come and go, those that never had a slot included. */
  left(): void {
    this.onFewer?.();
  }

  #positionOf(context: unknown): Position | undefined {
    return context instanceof CallContext ? this.#positions.get(context) : undefined;
  }

  #move(context: CallContext, to: Position | undefined): void {
    const from = this.#positions.get(context);
    if (from === before) this.#before -= 1;
    else if (from === 0) this.#behind -= 1;
    if (to === before) this.#before += 1;
    else if (to === 0) this.#behind += 1;
    if (to === undefined) {
      this.#positions.delete(context);
      this.onFewer?.();
    } else {
      this.#positions.set(context, to);
    }
  }
}
