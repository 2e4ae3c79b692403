import { ServableError, messageOf, type JsonValue } from "../../errors.ts";
import type { CallClock } from "../call-clock.ts";
import { EventStreamParser } from "../event-stream.ts";
import { isJsonObject, parseJson } from "../json.ts";
import { networkFailure } from "../network-failure.ts";

/** What the generate routes answer with: outputs by name, and `model_name`, `model_version` and `id`. */
export type GenerateResult = Readonly<Record<string, JsonValue>>;

/** Reads one answer of the generate routes. */
export function readGenerateResult(text: string, origin: string): GenerateResult {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (thrown) {
    throw new ServableError("internal", `The model at ${origin} answered with JSON that can't be read: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
  if (!isJsonObject(value)) throw new ServableError("internal", `The model at ${origin} did not answer with an object.`);
  return value;
}

/**
 * The items of a stream of the generate routes. Its end is that of the body; a failure on the way is an item with an `error`.
 *
 * @throws ServableError `internal` for an answer that is no stream: a page of a proxy has no events, and would read as a stream without items
 */
export async function readGenerateStream(response: Response, clock: CallClock, origin: string): Promise<AsyncGenerator<GenerateResult>> {
  const mediaType = (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (mediaType === "text/event-stream" || mediaType === "") return readEvents(response, clock, origin);
  if (mediaType === "application/json") return only(readItem(await clock.race(response.text()), origin), clock);
  response.body?.cancel().catch(() => undefined);
  throw new ServableError("internal", `The model at ${origin} answered with ${mediaType}, which is no stream of results.`);
}

async function* only<T>(item: T, clock: CallClock): AsyncGenerator<T> {
  clock.close();
  yield await Promise.resolve(item);
}

async function* readEvents(response: Response, clock: CallClock, origin: string): AsyncGenerator<GenerateResult> {
  const parser = new EventStreamParser();
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = response.body?.getReader();
  let ended = false;
  try {
    clock.arm();
    while (reader !== undefined) {
      const { done, value } = await clock.race(reader.read());
      if (done) break;
      for (const event of parser.push(value)) {
        const result = readItem(event.data, origin);
        clock.disarm();
        yield result;
        clock.arm();
      }
    }
    ended = true;
    if (parser.isPartial) throw new ServableError("unavailable", `The stream from ${origin} broke off in the middle of an item.`);
  } catch (thrown) {
    throw clock.error ?? (ServableError.isInstance(thrown) ? thrown : networkFailure(thrown, `The stream from ${origin} broke off`));
  } finally {
    clock.close();
    if (!ended) {
      reader?.cancel().catch(() => undefined);
      clock.leave();
    }
  }
}

function readItem(text: string, origin: string): GenerateResult {
  const result = readGenerateResult(text, origin);
  const { error, ...more } = result;
  if (error === undefined || Object.keys(more).length > 0) return result;
  throw new ServableError("service_failed", messageOf(error));
}
