import type { Framing } from "./accept.ts";
import { problemOf } from "./problem.ts";

type Chunk = Uint8Array | string;
const decoder = new TextDecoder();

/**
 * Frames a stream's items, and its failure, as the client asked: server-sent events (WHATWG HTML, section 9.2), newline-delimited JSON, or raw
 * bytes one after another.
 */
export function frame(items: AsyncIterable<Chunk>, framing: Framing | "raw", requestId: string): AsyncIterable<Chunk> {
  switch (framing) {
    case "text/event-stream":
      return serverSentEvents(items, requestId);
    case "application/x-ndjson":
      return newlineDelimited(items, requestId);
    case "raw":
      return items;
  }
}

async function* serverSentEvents(items: AsyncIterable<Chunk>, requestId: string): AsyncGenerator<Chunk> {
  try {
    for await (const item of items) yield `data: ${textOf(item)}\n\n`;
  } catch (thrown) {
    yield `event: error\ndata: ${JSON.stringify(problemOf(thrown, requestId))}\n\n`;
    return;
  }
  yield "event: end\ndata:\n\n";
}

async function* newlineDelimited(items: AsyncIterable<Chunk>, requestId: string): AsyncGenerator<Chunk> {
  try {
    for await (const item of items) yield `${textOf(item)}\n`;
  } catch (thrown) {
    yield `${JSON.stringify({ error: problemOf(thrown, requestId) })}\n`;
    // How a reader tells a failure from an end: its connection is cut.
    throw thrown;
  }
}

/** An item as one line: in JSON a line break can only stand between tokens, and a user's own handler may put some there. */
function textOf(item: Chunk): string {
  const text = typeof item === "string" ? item : decoder.decode(item);
  return text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]+/g, " ") : text;
}
