import { ServableError, messageOf } from "../errors.ts";
import { writeJson } from "./json.ts";

/** An input on its way out. */
export interface RequestBody {
  /** A function gives a new one for each attempt. */
  readonly body: Exclude<RequestInit["body"], undefined> | (() => ReadableStream<Uint8Array>);
  /** Undefined where fetch makes it (a form's boundary). */
  readonly contentType: string | undefined;
  /** Headers that belong to the body. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Whether the body is written while it is sent; such a body can be sent once only. */
  readonly streamed: boolean;
  /** What a streamed input threw, if it did. */
  readonly failure: () => ServableError | undefined;
  /** Ends a streamed input that is not at its end: a server may answer before it has read all of it. */
  readonly stop: () => void;
}

/** A body that is there as a whole, and can be sent any number of times. */
export const whole: Pick<RequestBody, "streamed" | "failure" | "stop"> = {
  streamed: false,
  failure: () => undefined,
  stop: () => undefined,
};
const octetStream = "application/octet-stream";

/**
 * Turns an input into a body: a blob, bytes and a form as they are, an async iterable into newline-delimited JSON, anything else
 * into JSON.
 *
 * @param signal - ends the reading of an async iterable
 * @throws ServableError `invalid_request` for what can't be written
 */
export async function encodeInput(input: unknown, signal: AbortSignal): Promise<RequestBody> {
  if (input instanceof Blob) return { body: input, contentType: input.type || octetStream, ...whole };
  if (input instanceof FormData) return { body: input, contentType: undefined, ...whole };
  const bytes = bytesOf(input);
  if (bytes !== undefined) return { body: bytes, contentType: octetStream, ...whole };
  if (isAsyncIterable(input)) return canStreamRequests() ? streamItems(input) : collectItems(input, signal);
  return { body: writeJson(input), contentType: "application/json", ...whole };
}

/**
 * Writes the inputs of a batch.
 *
 * @throws ServableError `invalid_request` for what can't be written, or can't be part of a batch
 */
export function encodeBatch(inputs: readonly unknown[]): RequestBody {
  inputs.forEach((input, index) => {
    if (input instanceof Blob || input instanceof FormData || bytesOf(input) !== undefined || isAsyncIterable(input)) {
      const message = "JSON can't carry it";
      throw new ServableError("invalid_request", `Item ${index} is binary or a stream, and a batch is JSON: call the service for each.`, {
        issues: [{ path: [index], message }],
      });
    }
  });
  return { body: writeJson(inputs), contentType: "application/json", ...whole };
}

function bytesOf(input: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (input instanceof ArrayBuffer) return new Uint8Array(input);
  if (!ArrayBuffer.isView(input)) return undefined;
  const { buffer, byteOffset, byteLength } = input;
  // fetch refuses shared memory, so that is copied.
  return buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer, byteOffset, byteLength)
    : new Uint8Array(buffer, byteOffset, byteLength).slice();
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** Browsers, which are the hosts with a location, stream a request at most over HTTP/2, and some send garbage instead. */
function canStreamRequests(): boolean {
  return !("location" in globalThis);
}

function streamItems(items: AsyncIterable<unknown>): RequestBody {
  const iterator = items[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let failure: ServableError | undefined;
  let index = 0;
  let ended = false;
  let fail: (reason: unknown) => void = () => undefined;

  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      fail = (reason) => controller.error(reason);
    },
    async pull(controller) {
      try {
        const next = await iterator.next();
        if (ended) return;
        ended = next.done === true;
        if (ended) controller.close();
        else controller.enqueue(encoder.encode(line(next.value, index++)));
      } catch (thrown) {
        failure = inputFailure(thrown);
        fail(failure);
        stop();
      }
    },
    cancel: () => stop(),
  });

  function stop(): void {
    if (ended) return;
    ended = true;
    fail(new ServableError("cancelled", "The call is over; nobody takes its input any more."));
    // What an input throws while it is put away belongs to nobody: the call is over.
    Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
  return { body, contentType: "application/x-ndjson", streamed: true, failure: () => failure, stop };
}

async function collectItems(items: AsyncIterable<unknown>, signal: AbortSignal): Promise<RequestBody> {
  const lines: string[] = [];
  try {
    for await (const item of items) {
      if (signal.aborted) break;
      lines.push(line(item, lines.length));
    }
  } catch (thrown) {
    throw inputFailure(thrown);
  }
  return { body: lines.join(""), contentType: "application/x-ndjson", ...whole, streamed: true };
}

function line(item: unknown, index: number): string {
  const text = writeJson(item);
  if (text !== "") return `${text}\n`;
  throw new ServableError("invalid_request", `Item ${index} of the input stream is undefined, which JSON can't carry.`);
}

function inputFailure(thrown: unknown): ServableError {
  if (ServableError.isInstance(thrown)) return thrown;
  return new ServableError("cancelled", `The call was cancelled, because its input stream failed: ${messageOf(thrown)}`, { cause: thrown });
}
