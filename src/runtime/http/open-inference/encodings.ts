import type { IncomingHttpHeaders } from "node:http";
import { deflate, gunzip, gzip, inflate } from "node:zlib";
import { InferenceError } from "../../../protocol/inference-error.ts";
import { RouteFailure } from "./failure.ts";

/** How a body is compressed; deflate has the frame of zlib (RFC 1950). */
export type Encoding = "identity" | "gzip" | "deflate";

/** How a request's body is compressed. @throws RouteFailure 501, with the header that says what is taken */
export function requestEncoding(headers: IncomingHttpHeaders): Encoding {
  const encoding = headers["content-encoding"];
  if (encoding === undefined || encoding === "" || encoding === "identity") return "identity";
  if (encoding === "gzip" || encoding === "deflate") return encoding;
  throw new RouteFailure(501, "Unsupported compression type", { "accept-encoding": "gzip, deflate" });
}

/** How the answer is to be compressed: what Accept-Encoding ranks highest, the first of equals. Anything it does not name is not used. */
export function responseEncoding(headers: IncomingHttpHeaders): Encoding {
  const accepted = headers["accept-encoding"];
  if (accepted === undefined || accepted === "") return "identity";
  let best: Encoding = "identity";
  let bestWeight = 0;
  for (const entry of accepted.split(",")) {
    const [name = "", ...parameters] = entry.split(";").map((part) => part.trim());
    if (name !== "gzip" && name !== "deflate" && name !== "identity") continue;
    const quality = parameters.find((parameter) => parameter.startsWith("q="));
    const weight = quality === undefined ? 1 : Number.parseFloat(quality.slice(2));
    if (weight > bestWeight) [best, bestWeight] = [name, weight];
  }
  return best;
}

/** Takes the result of a step that has ended, or failed. */
export type Done = (error: InferenceError | undefined, bytes: Uint8Array) => void;

const empty = new Uint8Array();

/** Unpacks a body, off this thread, up to a limit: the few bytes of a bomb must not become gigabytes. */
export function unpack(bytes: Uint8Array, encoding: Exclude<Encoding, "identity">, maxBytes: number, done: Done): void {
  const run = encoding === "gzip" ? gunzip : inflate;
  run(bytes, { maxOutputLength: maxBytes }, (error, unpacked) => {
    if (error === null) done(undefined, unpacked);
    else done(unpackFailure(error, encoding, maxBytes), empty);
  });
}

function unpackFailure(error: NodeJS.ErrnoException, encoding: Encoding, maxBytes: number): InferenceError {
  const text =
    error.code === "ERR_BUFFER_TOO_LARGE"
      ? `decompressed request exceeds the maximum allowed input size of ${maxBytes} bytes. Use --http-max-input-size to increase the limit.`
      : `the request body is not valid ${encoding} data`;
  return new InferenceError("INVALID_ARG", text, { cause: error });
}

/** Compresses a body, off this thread; undefined where that failed, and the body is to be sent as it is. */
export function pack(bytes: Uint8Array, encoding: Exclude<Encoding, "identity">, done: (packed: Uint8Array | undefined) => void): void {
  const run = encoding === "gzip" ? gzip : deflate;
  run(bytes, (error, packed) => {
    done(error === null ? packed : undefined);
  });
}
