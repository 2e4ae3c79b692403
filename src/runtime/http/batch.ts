import { ServableError } from "../../errors.ts";
import type { Engine, ListPlace } from "../../engine/engine.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { JsonHandler } from "../../service/handlers/json-handler.ts";
import type { Execution } from "../../engine/execution.ts";
import { outputText } from "../item.ts";
import type { HttpCall } from "./call.ts";
import { problemOf, toWireError } from "./problem.ts";

/** A list of requests that was taken in. */
export interface BatchCall {
  /** How it came. */
  readonly call: Pick<HttpCall, "requestId" | "metadata" | "onGone">;
  /** Taken for the list, and given back by whoever took it. */
  readonly place: ListPlace;
  readonly body: Uint8Array;
  readonly timeoutMs: number | undefined;
}

/** Most items of one list. */
const maxItems = 10_000;
const encoder = new TextEncoder();
const json = new JsonHandler();

/**
 * Runs each item of a JSON list as a request of its own, at most as many at once as the service takes, and answers with a list in the
 * same order: `{ "output": … }`, or `{ "error": <problem> }` for an item that failed.
 *
 * @returns the answer's JSON text
 */
export async function answerBatch(engine: Engine, definition: AnyServiceDefinition, batch: BatchCall): Promise<string> {
  const { call } = batch;
  const list: unknown = await json.deserialize({ contentType: "application/json", body: batch.body });
  if (!Array.isArray(list)) throw new ServableError("invalid_request", "A batch is a JSON list of inputs.");
  if (list.length > maxItems) {
    throw new ServableError("payload_too_large", `The list has ${list.length} items; ${maxItems} is the most.`, { details: { maxItems } });
  }
  const { concurrency, deadlineMs } = engine.policy(definition.name);
  const deadline = performance.now() + Math.min(batch.timeoutMs ?? deadlineMs, deadlineMs);
  const inHand = new Set<Execution>();
  let gone = false;
  call.onGone(() => {
    gone = true;
    for (const execution of inHand) execution.cancel();
  });
  const answers = new Array<string>(list.length);
  const admit = (index: number, alone: boolean): Admitted | undefined => {
    const requestId = `${call.requestId}/${index}`;
    try {
      const timeoutMs = Math.ceil(deadline - performance.now());
      if (timeoutMs < 1) throw new ServableError("deadline_exceeded", "The list's time was over before this item's turn came.");
      const execution = batch.place.admit({ requestId, metadata: () => call.metadata(), timeoutMs }, alone);
      return execution && { execution, requestId };
    } catch (thrown) {
      const error = toWireError(thrown);
      engine.refused(requestId, definition.name, error, 0);
      return { error, requestId };
    }
  };
  await new Promise<void>((resolve) => {
    let next = 0;
    let running = 0;
    const goOn = (): void => {
      while (next < list.length && running < concurrency && !gone) {
        const admitted = admit(next, running === 0);
        // Others have every place left: it is tried again when an item of this list is done.
        if (admitted === undefined) break;
        const index = next++;
        running += 1;
        void answerItem(admitted, list[index], inHand).then((answer) => {
          answers[index] = answer;
          running -= 1;
          goOn();
        });
      }
      if (running === 0) resolve();
    };
    goOn();
  });
  return `[${answers.join(",")}]`;
}

type Admitted = { readonly requestId: string } & ({ readonly execution: Execution } | { readonly error: ServableError });

async function answerItem(admitted: Admitted, item: unknown, inHand: Set<Execution>): Promise<string> {
  const { requestId } = admitted;
  if ("error" in admitted) return JSON.stringify({ error: problemOf(admitted.error, requestId) });
  const { execution } = admitted;
  inHand.add(execution);
  try {
    const body = encoder.encode(JSON.stringify(item));
    const response = await execution.run({ contentType: "application/json", body, responseType: "application/json" });
    return `{"output":${await outputText(response)}}`;
  } catch (thrown) {
    const error = toWireError(thrown);
    execution.fail(error);
    return JSON.stringify({ error: problemOf(error, requestId) });
  } finally {
    inHand.delete(execution);
  }
}
