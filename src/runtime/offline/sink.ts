import type { FileHandle } from "node:fs/promises";
import type { Writable } from "node:stream";
import { fileFailure } from "./file-failure.ts";

/** Where lines go. */
export interface Sink {
  /** Resolves when all of it is handed over. @throws ServableError where that can't be */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when what was written outlives the machine, as far as the machine can tell. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** @param place - where the next byte goes; undefined for what has no places, such as a pipe */
export function fileSink(path: string, file: FileHandle, place: number | undefined): Sink {
  let next = place;
  return {
    write: async (bytes) => {
      try {
        for (let done = 0; done < bytes.byteLength;) {
          const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, next ?? null);
          done += bytesWritten;
          if (next !== undefined) next += bytesWritten;
        }
      } catch (thrown) {
        throw fileFailure(thrown, "written", path);
      }
    },
    sync: async () => {
      try {
        if (place !== undefined) await file.datasync();
      } catch (thrown) {
        throw fileFailure(thrown, "written", path);
      }
    },
    close: () => file.close(),
  };
}

/** A stream is its owner's to close. */
export function streamSink(stream: Writable): Sink {
  const name = "Standard output";
  let failure: Error | undefined;
  const onError = (error: Error): void => {
    failure ??= error;
  };
  stream.on("error", onError);
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) reject(fileFailure(failure, "written", name));
        else
          stream.write(bytes, (error) => {
            if (error) reject(fileFailure(error, "written", name));
            else resolve();
          });
      }),
    sync: () => Promise.resolve(),
    // The listener stays: an error may still be on its way, and unheard it would end the process.
    close: () => Promise.resolve(),
  };
}
