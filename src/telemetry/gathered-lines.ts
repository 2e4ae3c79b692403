import type { pino } from "pino";

type Destination = ReturnType<typeof pino.destination>;

/** A destination that gathers lines. Besides `write` there is a way for those that are made as bytes, where they are gathered. */
export interface GatheredLines extends Destination {
  /** Where such a line is put: ASCII, its line break included. */
  readonly bytes: Uint8Array;
  /** Makes room for a line. @returns where it begins */
  beginLine(mostBytes: number): number;
  /** The line is there. @param end - where it ends */
  endLine(end: number): void;
}

const fullLength = 64 * 1024;
const longestWaitMs = 100;

/**
 * Makes a destination gather lines into blocks of 64 KiB, and keep none for longer than 100 ms. A write for each line costs as much as a
 * small request does, and the destination's own gathering measures all that it holds at every line (sonic-boom 4.2:
 * `Buffer.byteLength` of the whole block), which costs more still. What is gathered is written at the process's end like the rest.
 */
export function gatherLines(destination: Destination): GatheredLines {
  let text = "";
  const bytes = Buffer.alloc(fullLength);
  let filled = 0;
  let timer: NodeJS.Timeout | undefined;
  let isBroken = false;
  destination.on("error", () => {
    isBroken = true;
  });
  const write = destination.write.bind(destination);
  const flush = destination.flush.bind(destination);
  const flushSync = destination.flushSync.bind(destination);
  // A property of sonic-boom that its types leave out.
  const modes = destination as Destination & { sync: boolean };
  const takeBytes = (): void => {
    text += bytes.toString("latin1", 0, filled);
    filled = 0;
  };
  const handOn = (): void => {
    if (filled > 0) takeBytes();
    clearTimeout(timer);
    timer = undefined;
    if (text === "") return;
    const block = text;
    text = "";
    write(block);
  };
  // It keeps the process: what is gathered when the loop runs empty would now and then be lost.
  const handOnSoon = (): void => {
    timer ??= setTimeout(handOn, longestWaitMs);
  };
  return Object.assign(destination, {
    bytes,
    beginLine(mostBytes: number): number {
      if (filled + mostBytes > bytes.length) handOn();
      return filled;
    },
    endLine(end: number): void {
      filled = end;
      handOnSoon();
    },
    write(line: string): boolean {
      if (filled > 0) takeBytes();
      text += line;
      if (text.length >= fullLength) handOn();
      else handOnSoon();
      return true;
    },
    flush(callback?: (error?: Error) => unknown): void {
      handOn();
      flush(callback);
    },
    flushSync(): void {
      // Else the block would go off on another thread, and not be there when this returns.
      modes.sync = true;
      try {
        handOn();
        // Where nobody reads any more, sonic-boom's own would try for ever, and the process would never end.
        if (!isBroken) flushSync();
      } finally {
        modes.sync = false;
      }
    },
  });
}
