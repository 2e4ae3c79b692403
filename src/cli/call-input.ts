import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { buffer } from "node:stream/consumers";
import { ServableError, messageOf } from "../errors.ts";

/** The flags that say what is sent. */
export interface InputFlags {
  readonly file?: string;
  readonly contentType?: string;
}

const mediaTypes: Readonly<Record<string, string>> = {
  ".avif": "image/avif",
  ".bin": "application/octet-stream",
  ".gif": "image/gif",
  ".jpeg": "image/jpeg",
  ".jpg": "image/jpeg",
  ".json": "application/json",
  ".mp3": "audio/mpeg",
  ".msgpack": "application/msgpack",
  ".ndjson": "application/x-ndjson",
  ".png": "image/png",
  ".tif": "image/tiff",
  ".tiff": "image/tiff",
  ".txt": "text/plain",
  ".wav": "audio/wav",
  ".webp": "image/webp",
};

/**
 * The body to send, with its media type. JSON goes out as it was written, once it is known to be JSON: a number with more digits
 * than JavaScript keeps arrives with all of them.
 *
 * @throws ServableError `invalid_argument` for what can't be read, or is not JSON
 */
export async function readInput(json: string | undefined, { file, contentType }: InputFlags): Promise<Blob> {
  if (file !== undefined) {
    if (json !== undefined) throw new ServableError("invalid_argument", "Give JSON or --file, not both: a request has one body.");
    const bytes = await readBytes(file);
    return new Blob([bytes], { type: contentType ?? mediaTypeOf(file) });
  }
  const [bytes, source] = await readArgument(json ?? "null");
  const type = contentType ?? "application/json";
  if (/^application\/([\w.-]+\+)?json\b/.test(type)) checkJson(bytes, source);
  return new Blob([bytes], { type });
}

async function readArgument(json: string): Promise<readonly [bytes: Uint8Array<ArrayBuffer>, source: string]> {
  if (json === "-") return [new Uint8Array(await buffer(process.stdin)), "Standard input"];
  if (json.startsWith("@")) return [await readBytes(json.slice(1)), json.slice(1)];
  return [new TextEncoder().encode(json), "The input"];
}

async function readBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(file));
  } catch (thrown) {
    throw new ServableError("invalid_argument", `The file ${file} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function mediaTypeOf(file: string): string {
  const type = mediaTypes[extname(file).toLowerCase()];
  if (type !== undefined) return type;
  throw new ServableError("invalid_argument", `The media type of ${file} doesn't show in its name: say it with --content-type.`);
}

function checkJson(bytes: Uint8Array, source: string): void {
  try {
    JSON.parse(new TextDecoder().decode(bytes));
  } catch (thrown) {
    const hint = source === "The input" ? `. Quote it for your shell: '{"x":1}'` : "";
    throw new ServableError("invalid_argument", `${source} is not JSON: ${messageOf(thrown)}${hint}`, { cause: thrown });
  }
}
