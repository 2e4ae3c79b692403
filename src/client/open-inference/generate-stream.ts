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

/** The items of a stream of the generate routes. Its end is that of the body; a failure on the way is an item with an `error`. */
export async function* readGenerateStream(response: Response, clock: CallClock, origin: string): AsyncGenerator<GenerateResult> {
  const parser = new EventStreamParser();
  const reader = response.body?.getReader();
  let ended = false;
  try {
    clock.arm();
    while (reader !== undefined) {
      const { done, value } = await clock.race(reader.read());
      if (done) break;
      for (const event of parser.push(value)) {
        const result = readGenerateResult(event.data, origin);
        if (typeof result.error === "string" && Object.keys(result).length === 1) throw new ServableError("service_failed", result.error);
        clock.disarm();
        yield result;
        clock.arm();
      }
    }
    ended = true;
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
