import { ServableError } from "../errors.ts";
import { JsonHandler } from "./handlers/json-handler.ts";

const newline = 0x0a;
const json = new JsonHandler();

/**
 * Reads newline-delimited JSON as it comes; empty lines are skipped. Nothing is read before it is asked for, so a slow
 * service slows its sender down.
 *
 * @param maxItemBytes - longest line
 * @throws ServableError `invalid_request` for a line that is not JSON, `payload_too_large` for one that is too long
 */
export async function* ndjsonItems(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, maxItemBytes: number): AsyncGenerator {
  let index = 0;
  for await (const line of lines(chunks, maxItemBytes)) {
    if (isBlank(line)) continue;
    try {
      yield await json.deserialize({ contentType: "application/json", body: line });
    } catch (thrown) {
      if (!ServableError.isInstance(thrown)) throw thrown;
      const issues = thrown.issues.map(({ path, message }) => ({ path: [index, ...path], message }));
      throw new ServableError(thrown.code, `Item ${index} of the stream: ${thrown.message}`, { issues, stage: "deserialize" });
    }
    index += 1;
  }
}

async function* lines(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, maxItemBytes: number): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const take = (part: Uint8Array): void => {
    pendingBytes += part.byteLength;
    if (pendingBytes > maxItemBytes) {
      throw new ServableError("payload_too_large", `One line of the stream is larger than ${maxItemBytes} bytes.`, {
        details: { maxBodyBytes: maxItemBytes },
      });
    }
    pending.push(part);
  };
  const join = (): Uint8Array => {
    const line = new Uint8Array(pendingBytes);
    let offset = 0;
    for (const part of pending) {
      line.set(part, offset);
      offset += part.byteLength;
    }
    pending = [];
    pendingBytes = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      take(chunk.subarray(start, end));
      yield join();
      start = end + 1;
    }
    if (start < chunk.byteLength) take(chunk.slice(start));
  }
  if (pendingBytes > 0) yield join();
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
