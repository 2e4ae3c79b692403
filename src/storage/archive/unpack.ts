import { createReadStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Unpack, type ReadEntry } from "tar";
import { ServableError, messageOf } from "../../errors.ts";
import { fileFailure, systemCode } from "../file-failure.ts";
import { EntryNames } from "./entry-names.ts";
import { resolveArchiveLimits, type ArchiveLimits, type ResolvedArchiveLimits } from "./limits.ts";

/** How an archive is unpacked. */
export interface UnpackOptions {
  readonly limits?: ArchiveLimits | undefined;
  /** What errors call the archive. @default its path */
  readonly title?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the tar that were read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

const gzipMagic = [0x1f, 0x8b] as const;
/** What stands behind the end of a tar: at most one record of tape, and those of the largest drives have 1 MiB. */
const maxTrailerBytes = 1024 * 1024;
const ratioFromBytes = 64 * 1024 * 1024;
const endMs = 30_000;

/**
 * Unpacks a .tar or .tar.gz into a folder that is not there yet. Nothing gets out of that folder: an archive that holds links, devices, absolute paths or
 * `..`, names something twice, or is larger than its limits is refused, and then, as after any failure, the folder is gone again.
 *
 * @throws ServableError `load_failed` that says what is wrong with the archive
 */
export async function unpackArchive(file: string, folder: string, options: UnpackOptions = {}): Promise<void> {
  const limits = resolveArchiveLimits(options.limits);
  const title = options.title ?? file;
  try {
    await mkdir(folder);
  } catch (thrown) {
    throw systemCode(thrown) === "EEXIST"
      ? new ServableError("invalid_argument", `${folder} is there already: an archive is unpacked into a new folder.`)
      : fileFailure(thrown, "written", folder);
  }
  try {
    await unpackInto(file, folder, { ...options, limits, title });
  } catch (thrown) {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    throw thrown;
  }
}

interface Resolved extends UnpackOptions {
  readonly limits: ResolvedArchiveLimits;
  readonly title: string;
}

async function unpackInto(file: string, folder: string, options: Resolved): Promise<void> {
  const { limits, title, signal, onProgress } = options;
  const facts = await stat(file).catch((thrown: unknown) => {
    throw fileFailure(thrown, "read", file);
  });
  const wrong = (text: string, cause?: unknown): ServableError =>
    new ServableError("load_failed", `${title} is no archive that can be unpacked: ${text}.`, { cause });
  if (facts.size > limits.maxArchiveBytes)
    throw wrong(`it has ${facts.size} bytes; it may have ${limits.maxArchiveBytes} (limits.maxArchiveBytes)`);
  const tar = new Extraction(folder, limits, wrong);
  let bytes = 0;
  const mostBytes = limits.maxBytes + limits.maxEntries * 4096 + maxTrailerBytes;
  try {
    for await (const part of contentOf(file, await beginningOf(file), wrong)) {
      signal?.throwIfAborted();
      if (bytes === 0 && isGzip(part)) throw wrong("it is compressed twice");
      bytes += part.byteLength;
      onProgress?.(bytes);
      if (bytes > mostBytes) throw wrong(`it unpacks to more than ${limits.maxBytes} bytes (limits.maxBytes)`);
      if (bytes > ratioFromBytes && bytes > facts.size * limits.maxRatio) {
        throw wrong(`it unpacks to more than ${limits.maxRatio} times its size (limits.maxRatio)`);
      }
      await tar.write(part);
    }
    await tar.end();
  } catch (thrown) {
    await tar.abandon();
    throw thrown;
  }
}

async function beginningOf(file: string): Promise<Uint8Array> {
  for await (const part of createReadStream(file, { end: 3 }) as AsyncIterable<Uint8Array>) return part;
  return new Uint8Array();
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === gzipMagic[0] && bytes[1] === gzipMagic[1];
}

async function* contentOf(
  file: string,
  beginning: Uint8Array,
  wrong: (text: string, cause: unknown) => ServableError,
): AsyncGenerator<Buffer> {
  const stored: Readable = createReadStream(file, { highWaterMark: 256 * 1024 });
  const unzipped = isGzip(beginning) ? stored.pipe(createGunzip({ chunkSize: 256 * 1024 })) : stored;
  stored.on("error", (thrown) => unzipped.destroy(thrown));
  try {
    for await (const part of unzipped as AsyncIterable<Buffer>) yield part;
  } catch (thrown) {
    const code = systemCode(thrown);
    if (code === "Z_BUF_ERROR") throw wrong("it is cut off", thrown);
    if (code?.startsWith("Z_") === true) throw wrong(`its compression is damaged (${messageOf(thrown)})`, thrown);
    throw fileFailure(thrown, "read", file);
  } finally {
    stored.destroy();
    unzipped.destroy();
  }
}

/** The `tar` package's extraction with every of its warnings an error, and every entry looked at before it is written. */
class Extraction {
  readonly #unpack: Unpack;
  readonly #wrong: (text: string, cause?: unknown) => ServableError;
  #failure: Error | undefined;
  #sawEnd = false;
  #hasEnded = false;
  #trailer = 0;

  constructor(folder: string, limits: ResolvedArchiveLimits, wrong: (text: string, cause?: unknown) => ServableError) {
    this.#wrong = wrong;
    const names = new EntryNames(limits);
    this.#unpack = new Unpack({
      cwd: folder,
      strict: true,
      preserveOwner: false,
      noMtime: true,
      // It would guess these from the content; what is compressed is unpacked before, where it is counted.
      brotli: false,
      zstd: false,
      filter: (_, entry) => {
        if (this.#failure !== undefined || !("header" in entry)) return false;
        const problem = names.problem({ path: entry.header.path ?? "", type: entry.type, bytes: entry.size });
        if (problem === undefined) entry.mode = entry.type === "Directory" || ((entry.mode ?? 0) & 0o100) !== 0 ? 0o755 : 0o644;
        else this.#fail(this.#wrong(problem));
        return problem === undefined;
      },
    });
    this.#unpack.on("error", (thrown: unknown) => {
      this.#fail(this.#failureOf(thrown, folder));
    });
    // Types that the package does not know never get to the filter.
    this.#unpack.on("ignoredEntry", (entry: ReadEntry) => {
      const what = entry.meta ? "a header that is too long" : `something of the type ${entry.type}`;
      this.#fail(this.#wrong(`it holds ${what}`));
    });
    // What follows a NUL would be cut off silently, and the name another one. Names of GNU's own headers end with one.
    this.#unpack.on("meta", (text: string) => {
      if (text.replace(/\0+$/, "").includes("\0")) this.#fail(this.#wrong("a name in it has a NUL"));
    });
    this.#unpack.on("eof", () => {
      this.#sawEnd = true;
    });
    this.#unpack.on("end", () => {
      this.#hasEnded = true;
    });
  }

  async write(part: Buffer): Promise<void> {
    if (this.#sawEnd) {
      // The package would gather it all.
      this.#trailer += part.byteLength;
      if (this.#trailer > maxTrailerBytes) throw this.#wrong("there is more behind its end");
      return;
    }
    const isReady = this.#unpack.write(part);
    if (this.#failure === undefined && !isReady) await this.#next("drain");
    if (this.#failure !== undefined) throw this.#failure;
  }

  async end(): Promise<void> {
    const ended = this.#next("end");
    this.#unpack.end();
    await ended;
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#sawEnd) throw this.#wrong("it is cut off");
  }

  /** Waits until nothing of it is being written any more. */
  async abandon(): Promise<void> {
    this.#failure ??= new Error("it was given up");
    if (this.#hasEnded) return;
    const ended = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, endMs);
      this.#unpack.once("end", () => {
        clearTimeout(timer);
        resolve();
      });
    });
    try {
      // Ends the entry that it is in, which closes its file.
      this.#unpack.end();
    } catch {
      return;
    }
    await ended;
  }

  #next(event: "drain" | "end"): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#unpack.off(event, done);
        this.#unpack.off("error", done);
        resolve();
      };
      this.#unpack.on(event, done);
      this.#unpack.on("error", done);
    });
  }

  #fail(failure: Error): void {
    this.#failure ??= failure;
  }

  #failureOf(thrown: unknown, folder: string): ServableError {
    if (systemCode(thrown)?.startsWith("TAR_") === false) return fileFailure(thrown, "written", folder);
    const text = messageOf(thrown).replace(/^TAR_\w+: /, "");
    if (text.startsWith("Truncated input")) return this.#wrong("it is cut off", thrown);
    return this.#wrong(text === "checksum failure" ? "a header in it has a wrong checksum" : text, thrown);
  }
}
