import type { WrittenBody } from "../../protocol/http/written-body.ts";
import type { RequestBody } from "../request-body.ts";
import { whole } from "../request-body.ts";

/** How a body may be made smaller. */
export type Compression = "gzip" | "deflate";

const encoder = new TextEncoder();
// Beneath it a body is copied faster than a stream is set up.
const streamedFrom = 65_536;

/** What bodies are made for. */
export interface BodyOptions {
  readonly compression: Compression | undefined;
  /** Whether fetch is Node's: it sends a stream with the length that a header says, uncopied, and copies an answer less that is read as one. */
  readonly streams: boolean;
  /** Headers of every request. */
  readonly headers: Readonly<Record<string, string>>;
}

/** No body at all: of a GET. */
export function noBody({ headers }: BodyOptions): RequestBody {
  return { body: null, contentType: undefined, headers, ...whole };
}

/** A JSON text as a body. */
export function jsonBody(json: string, { headers }: BodyOptions): RequestBody {
  return { body: json, contentType: "application/json", headers, ...whole };
}

/** The body of an inference; large tensors are sent from where they are, if the host can do that. */
export async function tensorBody(written: WrittenBody, options: BodyOptions): Promise<RequestBody> {
  const { contentType, headerLength } = written;
  const headers: Record<string, string> = { ...options.headers };
  if (headerLength !== undefined) headers["inference-header-content-length"] = String(headerLength);
  const parts = [typeof written.json === "string" ? encoder.encode(written.json) : written.json, ...written.chunks];
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  if (options.compression !== undefined) {
    headers["content-encoding"] = options.compression;
    return { body: await compress(parts, options.compression), contentType, headers, ...whole };
  }
  // fetch refuses shared memory.
  const streams = options.streams && length >= streamedFrom && parts.every(({ buffer }) => buffer instanceof ArrayBuffer);
  if (!streams) return { body: join(parts, length), contentType, headers, ...whole };
  headers["content-length"] = String(length);
  return { body: () => streamOf(parts), contentType, headers, ...whole };
}

function join(parts: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    body.set(part, offset);
    offset += part.byteLength;
  }
  return body;
}

/** The parts one after the other, as they are: what reads the stream must not take their memory, and no host's fetch does. */
function streamOf(parts: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  let next = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const part = parts[next++];
      if (part === undefined) controller.close();
      else controller.enqueue(part);
    },
  });
}

async function compress(parts: readonly Uint8Array[], compression: Compression): Promise<ArrayBuffer> {
  const { readable, writable } = new CompressionStream(compression);
  const writer = writable.getWriter();
  const feed = async (): Promise<void> => {
    for (const part of parts) await writer.write(part);
    await writer.close();
  };
  const [compressed] = await Promise.all([new Response(readable).arrayBuffer(), feed()]);
  return compressed;
}

/** Whether this is Node, whose fetch takes a stream together with its length. */
export function isNode(): boolean {
  const process: unknown = Reflect.get(globalThis, "process");
  if (typeof process !== "object" || process === null || "Bun" in globalThis || "Deno" in globalThis) return false;
  const versions: unknown = Reflect.get(process, "versions");
  return typeof versions === "object" && versions !== null && "node" in versions && !("location" in globalThis);
}
