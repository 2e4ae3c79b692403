import { ServableError } from "../errors.ts";
import type { S3Access } from "./s3-client.ts";
import type { ArtifactSource, WriteOptions } from "./storage.ts";

/** Where an upload goes. */
export interface S3Target {
  readonly Bucket: string;
  readonly Key: string;
}

const leastPartBytes = 5 * 1024 * 1024;
const mostParts = 10_000;
const abortMs = 10_000;

/**
 * Uploads an artifact: a small one at once, a larger one in parts, of which one at a time is in memory. An object appears when its last part is confirmed;
 * of an upload that breaks off, what was sent is taken back.
 */
export async function uploadToS3(
  { client, sdk }: S3Access,
  target: S3Target,
  source: ArtifactSource,
  wantedPartBytes: number,
  { signal, onProgress }: WriteOptions,
): Promise<void> {
  const send = signal === undefined ? {} : { abortSignal: signal };
  const partBytes = Math.max(leastPartBytes, wantedPartBytes, Math.ceil(source.bytes / mostParts));
  if (source.bytes <= partBytes) {
    const Body = await wholePart(source, 0, source.bytes, signal);
    await client.send(new sdk.PutObjectCommand({ ...target, Body, ContentLength: Body.byteLength }), send);
    onProgress?.(source.bytes);
    return;
  }
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(target), send);
  try {
    const Parts: { ETag: string | undefined; PartNumber: number }[] = [];
    for (let start = 0; start < source.bytes; start += partBytes) {
      const end = Math.min(start + partBytes, source.bytes);
      const Body = await wholePart(source, start, end, signal);
      const PartNumber = Parts.length + 1;
      const part = new sdk.UploadPartCommand({ ...target, UploadId, PartNumber, Body, ContentLength: Body.byteLength });
      const { ETag } = await client.send(part, send);
      Parts.push({ ETag, PartNumber });
      onProgress?.(end);
    }
    await client.send(new sdk.CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }), send);
  } catch (thrown) {
    // Else the store would keep the parts, and their price, until somebody notices. The caller's signal may be why we are here.
    const abort = new sdk.AbortMultipartUploadCommand({ ...target, UploadId });
    await client.send(abort, { abortSignal: AbortSignal.timeout(abortMs) }).catch(() => undefined);
    throw thrown;
  }
}

async function wholePart(source: ArtifactSource, start: number, end: number, signal: AbortSignal | undefined): Promise<Buffer> {
  const part = Buffer.allocUnsafe(end - start);
  let filled = 0;
  for await (const piece of source.read(start, end)) {
    signal?.throwIfAborted();
    if (filled + piece.byteLength > part.byteLength) throw changed();
    part.set(piece, filled);
    filled += piece.byteLength;
  }
  if (filled !== part.byteLength) throw changed();
  return part;
}

function changed(): ServableError {
  return new ServableError("invalid_argument", "What was to be written changed meanwhile: it no longer has the length that it had.");
}
