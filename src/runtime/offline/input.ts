import type { Stats } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { ServableError, messageOf } from "../../errors.ts";
import { fileFailure } from "./file-failure.ts";

const pieceBytes = 64 * 1024;

/** Where rows come from. */
export interface Input {
  /** How a person knows it. */
  readonly name: string;
  /** What a file is known by when a run goes on; undefined where it can't be read twice. */
  readonly facts: Stats | undefined;
  /** The next piece, from `inputBytes` on the first time; undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  /** Where to begin; only of a file. */
  seek(inputBytes: number): void;
  close(): Promise<void>;
}

/** Opens what rows come from. @throws ServableError `invalid_argument` for a file that can't be read */
export async function openInput(source: string | AsyncIterable<Uint8Array | string>): Promise<Input> {
  return typeof source === "string" ? await openFile(source) : streamInput(source);
}

async function openFile(path: string): Promise<Input> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const stats = await file.stat();
    if (stats.isDirectory()) throw new ServableError("invalid_argument", `${path} is a folder; name a file of newline-delimited JSON.`);
    return fileInput(path, file, stats);
  } catch (thrown) {
    await file?.close();
    throw fileFailure(thrown, "read", path);
  }
}

function fileInput(path: string, file: FileHandle, stats: Stats): Input {
  // A pipe has no places.
  const isFile = stats.isFile();
  let place = 0;
  return {
    name: path,
    facts: isFile ? stats : undefined,
    read: async () => {
      try {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(pieceBytes), 0, pieceBytes, isFile ? place : null);
        place += bytesRead;
        return bytesRead === 0 ? undefined : buffer.subarray(0, bytesRead);
      } catch (thrown) {
        throw fileFailure(thrown, "read", path);
      }
    },
    seek: (inputBytes) => {
      place = inputBytes;
    },
    close: () => file.close(),
  };
}

function streamInput(source: AsyncIterable<Uint8Array | string>): Input {
  const iterator = source[Symbol.asyncIterator]();
  return {
    name: "standard input",
    facts: undefined,
    read: async () => {
      try {
        const next = await iterator.next();
        if (next.done === true) return undefined;
        return typeof next.value === "string" ? Buffer.from(next.value) : next.value;
      } catch (thrown) {
        throw new ServableError("unavailable", `The input can't be read any further: ${messageOf(thrown)}`, { cause: thrown });
      }
    },
    seek: () => {
      throw new ServableError("internal", "A stream has no places to go to.");
    },
    close: () => {
      // Not awaited: it waits for a `next` that may never come.
      Promise.resolve(iterator.return?.()).catch(() => undefined);
      return Promise.resolve();
    },
  };
}
