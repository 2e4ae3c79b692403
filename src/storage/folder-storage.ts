import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { ServableError } from "../errors.ts";
import { fileFailure } from "./file-failure.ts";
import { checkRead, checkWrite } from "./storage.ts";
import type { ArtifactSource, ReadOptions, Storage, StoredContent, WriteOptions } from "./storage.ts";
import { checkArtifactName } from "./uri.ts";

/** Artifacts as files beneath a folder. A write goes to a file of its own, whose name begins with a dot, which takes the name only when it is whole. */
export class FolderStorage implements Storage {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = path.resolve(folder);
  }

  uriOf(name?: string): string {
    return pathToFileURL(this.#path(name)).href;
  }

  async read(name?: string, options: ReadOptions = {}): Promise<StoredContent> {
    checkRead(options);
    const file = this.#path(name);
    options.signal?.throwIfAborted();
    try {
      const facts = await stat(file);
      // Reading a pipe or a device may never end.
      if (!facts.isFile()) throw new ServableError("load_failed", `${file} is no file.`);
      const version = `${facts.mtimeMs}-${facts.size}-${facts.ino}`;
      const isSame = options.version === undefined || options.version === version;
      const offset = isSame ? Math.min(options.offset ?? 0, facts.size) : 0;
      return { offset, bytes: facts.size, version, content: contentOf(file, offset, options.signal) };
    } catch (thrown) {
      throw fileFailure(thrown, "read", file);
    }
  }

  async write(name: string, source: ArtifactSource, options: WriteOptions = {}): Promise<void> {
    checkWrite(options);
    const file = this.#path(checkArtifactName(name));
    const folder = path.dirname(file);
    const partial = path.join(folder, `.${randomUUID()}.partial`);
    try {
      await mkdir(folder, { recursive: true });
      await writeWhole(partial, source, options);
      await rename(partial, file);
    } catch (thrown) {
      await rm(partial, { force: true }).catch(() => undefined);
      if (options.signal?.aborted === true) throw options.signal.reason;
      throw fileFailure(thrown, "written", file);
    }
  }

  #path(name: string | undefined): string {
    return name === undefined ? this.#folder : path.join(this.#folder, ...checkArtifactName(name).split("/"));
  }
}

async function writeWhole(file: string, source: ArtifactSource, { signal, onProgress }: WriteOptions): Promise<void> {
  const handle = await open(file, "wx");
  try {
    let bytes = 0;
    for await (const part of source.read(0, source.bytes)) {
      signal?.throwIfAborted();
      await handle.write(part);
      bytes += part.byteLength;
      onProgress?.(bytes);
    }
    if (bytes !== source.bytes) {
      throw new ServableError(
        "invalid_argument",
        `What was to be written changed meanwhile: it had ${source.bytes} bytes, and now ${bytes}.`,
      );
    }
    // Before it gets its name, so that a machine that fails leaves no empty file under it.
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Opened only when it is read. */
async function* contentOf(file: string, start: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of createReadStream(file, { start, highWaterMark: 256 * 1024 }) as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted();
      yield part;
    }
  } catch (thrown) {
    throw signal?.aborted === true ? signal.reason : fileFailure(thrown, "read", file);
  }
}
