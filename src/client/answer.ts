import { ServableError, messageOf } from "../errors.ts";
import type { CallClock } from "./call-clock.ts";
import { closable } from "./closable.ts";
import { EventStreamParser, type ServerSentEvent } from "./event-stream.ts";
import { parseJson } from "./json.ts";
import { errorFromProblem } from "./problem.ts";
import { networkFailure } from "./network-failure.ts";

/** What a service gave: one value, or a stream of them. */
export type Answer =
  { readonly kind: "value"; readonly value: unknown } | { readonly kind: "stream"; readonly items: AsyncIterableIterator<unknown> };

/** Where an answer comes from, for messages. */
export interface Source {
  readonly origin: string;
  readonly service: string;
}

// A server closes the connection, or frees it for the next request, right after its last event.
const connectionGraceMs = 1000;

/** Reads a success by its content type. A stream keeps the clock, and lets go of it at its end. */
export async function readAnswer(response: Response, clock: CallClock, source: Source): Promise<Answer> {
  const mediaType = (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (mediaType === "text/event-stream") {
    clock.disarm();
    const reader = response.body?.getReader();
    const stop = (): void => {
      clock.leave();
      // Not every fetch ties its bodies to its signal, and a generator that never ran has nothing to clean up with.
      if (reader !== undefined) void cancel(reader);
    };
    return { kind: "stream", items: closable(readItems(reader, requestIdOf(response), clock, source), stop) };
  }
  return { kind: "value", value: await readValue(response, mediaType, clock, source) };
}

async function readValue(response: Response, mediaType: string, clock: CallClock, source: Source): Promise<unknown> {
  if (response.status === 204) return undefined;
  if (mediaType === "application/json" || mediaType.endsWith("+json")) {
    return readJson(await clock.race(response.text()), "answered with", source);
  }
  if (mediaType === "application/octet-stream") return new Uint8Array(await clock.race(response.arrayBuffer()));
  if (mediaType === "text/plain") return clock.race(response.text());
  return clock.race(response.blob());
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

async function* readItems(reader: Reader | undefined, requestId: string | undefined, clock: CallClock, source: Source): AsyncGenerator {
  const parser = new EventStreamParser();
  let ended = false;
  try {
    clock.arm();
    for (;;) {
      const chunk = await clock.race(reader?.read() ?? Promise.resolve(undefined));
      if (chunk?.value === undefined) throw new ServableError("unavailable", `The stream from ${source.origin} broke off before its end.`);
      for (const event of parser.push(chunk.value)) {
        ended = event.type === "end" || event.type === "error";
        if (event.type === "end") return;
        if (event.type === "error") throw errorFromProblem(readJson(event.data, "sent a failure with", source), { requestId });
        if (event.type !== "message") continue;
        clock.disarm();
        yield readItem(event, source);
        clock.arm();
      }
    }
  } catch (thrown) {
    throw clock.error ?? (ServableError.isInstance(thrown) ? thrown : networkFailure(thrown, `The stream from ${source.origin} broke off`));
  } finally {
    clock.close();
    if (reader !== undefined) void (ended ? drain(reader) : cancel(reader));
    if (!ended) clock.leave();
  }
}

function readItem(event: ServerSentEvent, source: Source): unknown {
  return readJson(event.data, "sent an item with", source);
}

function readJson(text: string, what: string, { origin, service }: Source): ReturnType<typeof parseJson> {
  try {
    return parseJson(text);
  } catch (thrown) {
    throw new ServableError("internal", `${service} at ${origin} ${what} JSON that can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function requestIdOf(response: Response): string | undefined {
  return response.headers.get("x-request-id") ?? undefined;
}

/** Reads on to the end of the body, so that its connection can be used again. */
async function drain(reader: Reader): Promise<void> {
  const timer = setTimeout(() => void cancel(reader), connectionGraceMs);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The stream has given all that it had; how its connection ends is nobody's concern.
  } finally {
    clearTimeout(timer);
  }
}

async function cancel(reader: Reader): Promise<void> {
  try {
    await reader.cancel();
  } catch {
    // It had failed already, which is what made us cancel it.
  }
}
