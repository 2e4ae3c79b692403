/** What can keep artifacts: a folder, an HTTP server, an S3-compatible store, or whatever a user brings. */

import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";

/** What is to be written: a known number of bytes that can be read more than once, from any place on, since a write may have to try again. */
export interface ArtifactSource {
  readonly bytes: number;
  /** The bytes from `start` on, up to but without `end`. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

/** How something is read. */
export interface ReadOptions {
  /** Where to begin, in bytes. A store that can't do that begins at 0, and says so. @default 0 */
  readonly offset?: number | undefined;
  /** Only if it still is this version; else it is read from its beginning. */
  readonly version?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const readKeys: KeysOf<ReadOptions> = { offset: true, version: true, signal: true };

/** @throws ServableError `invalid_config` for an option that a read has not */
export function checkRead(options: ReadOptions): void {
  refuseUnknownKeys(options, readKeys, "A read");
}

/** What is read. */
export interface StoredContent {
  /** Where `content` begins. */
  readonly offset: number;
  /** The whole artifact's length; undefined where the store doesn't tell. */
  readonly bytes: number | undefined;
  /** Changes whenever the artifact does (an ETag); undefined where the store doesn't tell. */
  readonly version: string | undefined;
  /** Has to be read to its end, or left with `break`, which ends the transfer. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** How something is written. */
export interface WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes that were handed over so far; they go down when a write begins again. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

const writeKeys: KeysOf<WriteOptions> = { signal: true, onProgress: true };

/** @throws ServableError `invalid_config` for an option that a write has not */
export function checkWrite(options: WriteOptions): void {
  refuseUnknownKeys(options, writeKeys, "A write");
}

/**
 * Where artifacts are. Names are relative paths with `/`; without a name it is the storage's own URI that is meant, so that one opened with an artifact's
 * URI reads that artifact.
 *
 * Failures are ServableErrors: `not_found`, `unauthenticated`, and `unavailable` for all that may go away by itself. Whoever reads tries again
 * after the latter; a write has tried again itself before it fails.
 */
export interface Storage {
  /** The URI of an artifact. */
  uriOf(name?: string): string;
  /** Opens an artifact for reading. */
  read(name?: string, options?: ReadOptions): Promise<StoredContent>;
  /** Writes an artifact, in the place of one that has the name. It is there as a whole when this resolves; where it fails, readers see what was there before. */
  write(name: string, source: ArtifactSource, options?: WriteOptions): Promise<void>;
}
