import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ServableError } from "../errors.ts";
import { fileFailure } from "./file-failure.ts";
import type { ArtifactSource } from "./storage.ts";

/** A file as something to write. @throws ServableError `invalid_argument` where there is none */
export async function fileSource(path: string): Promise<ArtifactSource> {
  const facts = await stat(path).catch((thrown: unknown) => {
    throw fileFailure(thrown, "read", path);
  });
  if (!facts.isFile()) throw new ServableError("invalid_argument", `${path} is no file.`);
  // `end` of a stream is part of what it reads.
  return { bytes: facts.size, read: (start, end) => (end > start ? createReadStream(path, { start, end: end - 1 }) : nothing()) };
}

/** Bytes as something to write. */
export function bytesSource(bytes: Uint8Array): ArtifactSource {
  return { bytes: bytes.byteLength, read: (start, end) => only(bytes.subarray(start, end)) };
}

// eslint-disable-next-line @typescript-eslint/require-await -- it is read as one that comes bit by bit
async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // An empty file has no last byte.
}
