import type { pino } from "pino";

type Destination = ReturnType<typeof pino.destination>;

/** A destination that gathers lines, those that are yet to be made among them. */
export interface GatheredLines extends Destination {
  /** Has lines made before any other one is written, and within 100 ms; `make` writes them. */
  makeLater(make: () => void): void;
}

const fullLength = 16 * 1024;
const longestWaitMs = 100;

/**
 * Makes a destination gather lines into blocks of 16 KiB, and keep none for longer than 100 ms. A write for each line costs as much as a
 * small request does, and the destination's own gathering measures all that it holds at every line (sonic-boom 4.2:
 * `Buffer.byteLength` of the whole block), which costs more still. What is gathered is written at the process's end like the rest.
 */
export function gatherLines(destination: Destination): GatheredLines {
  let text = "";
  let makers: (() => void)[] = [];
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
  const makeAll = (): void => {
    const due = makers;
    makers = [];
    for (const make of due) make();
  };
  const handOn = (): void => {
    makeAll();
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
    makeLater(make: () => void): void {
      makers.push(make);
      handOnSoon();
    },
    write(line: string): boolean {
      if (makers.length > 0) makeAll();
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
