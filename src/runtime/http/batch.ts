import { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { JsonHandler } from "../../service/handlers/json-handler.ts";
import type { Execution } from "../../engine/execution.ts";
import { problemOf, toWireError } from "./problem.ts";

/** A list of requests, as a host sees it. */
export interface BatchCall {
  readonly requestId: string;
  readonly body: Uint8Array;
  readonly timeoutMs: number | undefined;
  readonly metadata: () => Readonly<Record<string, string>>;
  onGone(callback: () => void): void;
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
export async function answerBatch(engine: Engine, definition: AnyServiceDefinition, call: BatchCall): Promise<string> {
  const list: unknown = await json.deserialize({ contentType: "application/json", body: call.body });
  if (!Array.isArray(list)) throw new ServableError("invalid_request", "A batch is a JSON list of inputs.");
  if (list.length > maxItems) {
    throw new ServableError("payload_too_large", `The list has ${list.length} items; ${maxItems} is the most.`, { details: { maxItems } });
  }
  const { concurrency, deadlineMs } = engine.policy(definition.name);
  const deadline = Date.now() + Math.min(call.timeoutMs ?? deadlineMs, deadlineMs);
  const aborter = new AbortController();
  call.onGone(() => {
    aborter.abort();
  });
  const answers = new Array<string>(list.length);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < list.length && !aborter.signal.aborted) {
      const index = next++;
      answers[index] = await answerItem(engine, definition, call, list[index], index, deadline, aborter.signal);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, list.length) }, work));
  return `[${answers.join(",")}]`;
}

async function answerItem(
  engine: Engine,
  definition: AnyServiceDefinition,
  call: BatchCall,
  item: unknown,
  index: number,
  deadline: number,
  signal: AbortSignal,
): Promise<string> {
  const requestId = `${call.requestId}/${index}`;
  const since = performance.now();
  let execution: Execution | undefined;
  try {
    const timeoutMs = deadline - Date.now();
    if (timeoutMs < 1) throw new ServableError("deadline_exceeded", "The list's time was over before this item's turn came.");
    execution = engine.admit(definition.name, { requestId, metadata: call.metadata, timeoutMs });
    const cancel = execution.cancel.bind(execution);
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const body = encoder.encode(JSON.stringify(item));
      const response = await execution.run({ contentType: "application/json", body, responseType: "application/json" });
      return `{"output":${response.kind === "value" ? textOf(response.body) : await collect(response.items)}}`;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  } catch (thrown) {
    const error = toWireError(thrown);
    if (execution === undefined) engine.refused(requestId, definition.name, error, performance.now() - since);
    else execution.fail(error);
    return JSON.stringify({ error: problemOf(error, requestId) });
  }
}

/** A streamed answer of one item is a list of its own. */
async function collect(items: AsyncIterable<Uint8Array | string>): Promise<string> {
  const texts: string[] = [];
  for await (const item of items) texts.push(textOf(item));
  return `[${texts.join(",")}]`;
}

function textOf(body: Uint8Array | string): string {
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}
