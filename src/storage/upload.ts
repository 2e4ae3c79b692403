import { createHash } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { packArchive, type ArchiveFile, type ArchiveFormat } from "./archive/pack.ts";
import { fileFailure } from "./file-failure.ts";
import { fileSource } from "./sources.ts";
import type { Storage } from "./storage.ts";
import { withDigest } from "./uri.ts";

/** How far an upload is. */
export interface UploadProgress {
  readonly stage: "pack" | "upload";
  /** Of the archive. */
  readonly bytes: number;
  /** Known once it is packed. */
  readonly total?: number | undefined;
}

/** How files become an artifact. */
export interface UploadOptions {
  readonly storage: Storage;
  /** The beginning of the artifact's name, behind which come its digest and the format. */
  readonly name: string;
  readonly format: ArchiveFormat;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
}

/** What was uploaded. */
export interface UploadedArtifact {
  /** With the digest at its end, which whoever downloads it checks. */
  readonly uri: string;
  /** The SHA-256 of the archive. */
  readonly digest: string;
  readonly bytes: number;
}

/**
 * Packs files into an archive and writes it to a storage, under a name that holds its digest: the same content gets the same name, and another one never
 * takes its place. The archive is made in a temporary file first, since its digest and its length have to be known.
 */
export async function uploadArchive(files: readonly ArchiveFile[], options: UploadOptions): Promise<UploadedArtifact> {
  const { storage, name, format, signal, onProgress } = options;
  const folder = await mkdtemp(path.join(tmpdir(), "servable-artifact-"));
  try {
    const file = path.join(folder, "archive");
    const digest = await writeArchive(files, file, options);
    const source = await fileSource(file);
    const stored = `${name}-${digest.slice(0, 16)}.${format}`;
    const report = (bytes: number): void => onProgress?.({ stage: "upload", bytes, total: source.bytes });
    await storage.write(stored, source, { signal, onProgress: report });
    return { uri: withDigest(storage.uriOf(stored), digest), digest, bytes: source.bytes };
  } finally {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function writeArchive(files: readonly ArchiveFile[], file: string, { format, signal, onProgress }: UploadOptions): Promise<string> {
  const handle = await open(file, "wx");
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const part of packArchive(files, format)) {
      signal?.throwIfAborted();
      hash.update(part);
      await handle.write(part);
      bytes += part.byteLength;
      onProgress?.({ stage: "pack", bytes });
    }
  } catch (thrown) {
    if (signal?.aborted === true) throw signal.reason;
    throw fileFailure(thrown, "written", `The archive (${tmpdir()})`);
  } finally {
    await handle.close();
  }
  return hash.digest("hex");
}
