import { AsyncLocalStorage } from "node:async_hooks";
import { ServableError } from "../errors.ts";

/**
 * A model blocks the thread that runs it, and a runtime must not be blocked: while it is, no request is read, no deadline kept and
 * no health check answered. So a runtime marks its thread, and models refuse to run there unless the service asked for it.
 */
interface State {
  marks: number;
  /** Services that block the thread whenever their models run. */
  blockers: number;
  readonly allowed: AsyncLocalStorage<boolean>;
}

const key = Symbol.for("servable.io-thread");

function isState(value: unknown): value is State {
  return typeof value === "object" && value !== null && "marks" in value && "blockers" in value && "allowed" in value;
}

// On globalThis, which every thread has its own of, so that two installed copies of this package agree.
function stateOfThread(): State {
  const found: unknown = Reflect.get(globalThis, key);
  if (isState(found)) return found;
  const state: State = { marks: 0, blockers: 0, allowed: new AsyncLocalStorage() };
  Object.defineProperty(globalThis, key, { value: state });
  return state;
}

const state = stateOfThread();

/** Says that this thread does I/O for a runtime. Counted: each call wants one {@link unmarkIoThread}. */
export function markIoThread(): void {
  state.marks++;
}

/** Takes back one {@link markIoThread}, when a runtime has stopped. */
export function unmarkIoThread(): void {
  state.marks = Math.max(0, state.marks - 1);
}

/** Lets work block the thread that does I/O, and all that it starts: for a service that is placed inline on purpose. */
export function allowBlocking<T>(work: () => T): T {
  return state.allowed.run(true, work);
}

/**
 * Says that a service blocks this thread on purpose, again and again: whatever else is on it has to live with that, and may block it, too. Counted: each
 * call wants one {@link forbidBlocking}. Unlike {@link allowBlocking} it costs nothing; that one makes each promise on its thread dearer from then on.
 */
export function permitBlocking(): void {
  state.blockers++;
}

/** Takes back one {@link permitBlocking}. */
export function forbidBlocking(): void {
  state.blockers = Math.max(0, state.blockers - 1);
}

/**
 * Refuses to block the thread that does I/O.
 *
 * @param what - what is about to block, as the start of a sentence: "Running the model 'ocr'"
 * @throws ServableError `invalid_config` on such a thread, outside {@link allowBlocking} and without {@link permitBlocking}
 */
export function assertMayBlock(what: string): void {
  if (state.marks === 0 || state.blockers > 0 || state.allowed.getStore() === true) return;
  throw new ServableError(
    "invalid_config",
    `${what} would block the thread that does I/O, and every other request with it. In the service's definition, set \`model: true\` or ` +
      '`policy: { placement: "thread" }` to run it on a worker thread, or `policy: { placement: "inline" }` to ask for this on purpose.',
  );
}
