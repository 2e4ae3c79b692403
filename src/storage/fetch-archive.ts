import { createHash, type Hash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { ServableError } from "../errors.ts";
import { fileFailure } from "./file-failure.ts";
import { isPassing, pauseBefore } from "./retry.ts";
import type { Storage, StoredContent } from "./storage.ts";

/** How an archive is fetched. */
export interface FetchOptions {
  readonly maxBytes: number;
  /** Failures in a row that gave nothing. */
  readonly retries: number;
  /** How long nothing may come. */
  readonly idleMs: number;
  /** What errors call the archive. */
  readonly title: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((bytes: number, total: number | undefined) => void) | undefined;
}

/** With so much gained a failure doesn't count against the retries. */
const gainBytes = 1024 * 1024;

/**
 * Reads what a storage's own URI names into a new file. A transfer that breaks off goes on where it was, if it still is the same artifact and the storage can
 * do that, else from the beginning.
 *
 * @returns the SHA-256 of what was read
 */
export async function fetchArchive(storage: Storage, file: string, options: FetchOptions): Promise<string> {
  const handle = await open(file, "wx").catch((thrown: unknown) => {
    throw fileFailure(thrown, "written", file);
  });
  try {
    return await new Transfer(storage, handle, options).run();
  } finally {
    await handle.close();
  }
}

class Transfer {
  readonly #storage: Storage;
  readonly #handle: FileHandle;
  readonly #options: FetchOptions;
  #hash: Hash = createHash("sha256");
  #bytes = 0;
  #total: number | undefined;
  #version: string | undefined;

  constructor(storage: Storage, handle: FileHandle, options: FetchOptions) {
    this.#storage = storage;
    this.#handle = handle;
    this.#options = options;
  }

  async run(): Promise<string> {
    const { retries, signal } = this.#options;
    let failures = 0;
    let restarts = 0;
    for (;;) {
      const before = this.#bytes;
      const mark = { restarted: false };
      try {
        await this.#attempt(mark);
        return this.#hash.digest("hex");
      } catch (thrown) {
        signal?.throwIfAborted();
        if (!isPassing(thrown)) throw thrown;
        // One that breaks off at the same place each time would else begin anew for ever.
        if (mark.restarted) restarts += 1;
        failures = !mark.restarted && this.#bytes - before >= gainBytes ? 1 : failures + 1;
        if (failures > retries || restarts > retries) throw this.#givenUp(thrown);
        await pauseBefore(failures, signal);
      }
    }
  }

  /** What there was when it was given up tells a server that is slow or cuts off from one that is not there. */
  #givenUp(thrown: unknown): unknown {
    if (!ServableError.isInstance(thrown) || this.#bytes === 0) return thrown;
    const of = this.#total === undefined ? "" : ` of ${this.#total}`;
    return new ServableError(thrown.code, `${thrown.message} ${this.#bytes}${of} bytes had come.`, { cause: thrown.cause ?? thrown });
  }

  async #attempt(mark: { restarted: boolean }): Promise<void> {
    const { signal } = this.#options;
    // Ends the transfer, however this is left.
    const own = new AbortController();
    try {
      await this.#transfer(mark, signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]));
    } finally {
      own.abort();
    }
  }

  async #transfer(mark: { restarted: boolean }, signal: AbortSignal): Promise<void> {
    const { maxBytes, title, idleMs, onProgress } = this.#options;
    // Without a version nobody can tell that it still is the same.
    const offset = this.#version === undefined ? 0 : this.#bytes;
    const stored = await this.#storage.read(undefined, { offset, version: this.#version, signal });
    if (stored.offset !== this.#bytes || stored.version !== this.#version) {
      mark.restarted = this.#bytes > 0;
      this.#hash = createHash("sha256");
      this.#bytes = 0;
      await this.#handle.truncate(0);
      this.#version = stored.offset === 0 ? stored.version : undefined;
      if (stored.offset !== 0) throw new ServableError("unavailable", `${title} changed while it was read.`);
    }
    const tooLarge = (bytes: number): ServableError =>
      new ServableError("load_failed", `${title} has ${bytes} bytes or more; it may have ${maxBytes} (limits.maxArchiveBytes).`);
    this.#total = stored.bytes;
    if (stored.bytes !== undefined && stored.bytes > maxBytes) throw tooLarge(stored.bytes);
    for await (const part of withinIdle(stored, idleMs, title)) {
      signal.throwIfAborted();
      if (this.#bytes + part.byteLength > maxBytes) throw tooLarge(this.#bytes + part.byteLength);
      await this.#keep(part);
      onProgress?.(this.#bytes, stored.bytes);
    }
    if (stored.bytes !== undefined && this.#bytes !== stored.bytes) {
      throw new ServableError("unavailable", `${title} broke off before its end.`);
    }
  }

  async #keep(part: Uint8Array): Promise<void> {
    try {
      await this.#handle.write(part, 0, part.byteLength, this.#bytes);
    } catch (thrown) {
      throw fileFailure(thrown, "written", "The folder of downloads");
    }
    this.#hash.update(part);
    this.#bytes += part.byteLength;
  }
}

/** What comes, until nothing has come for too long. */
async function* withinIdle({ content }: StoredContent, idleMs: number, title: string): AsyncGenerator<Uint8Array> {
  const iterator = content[Symbol.asyncIterator]();
  let timer: NodeJS.Timeout | undefined;
  const state = { isIdle: false };
  try {
    for (;;) {
      const idle = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          state.isIdle = true;
          reject(new ServableError("unavailable", `${title} broke off: nothing came for ${idleMs} ms.`));
        }, idleMs);
      });
      const next = await Promise.race([iterator.next(), idle]);
      clearTimeout(timer);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    clearTimeout(timer);
    const ended = iterator.return?.();
    // One that hangs would hang here, too.
    if (state.isIdle) void ended?.catch(() => undefined);
    else await ended;
  }
}
