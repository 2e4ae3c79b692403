import type { pino } from "pino";

type Destination = ReturnType<typeof pino.destination>;

const fullLength = 16 * 1024;
const longestWaitMs = 100;

/**
 * Makes a destination gather lines into blocks of 16 KiB, and keep none for longer than 100 ms. A write for each line costs as much as a
 * small request does, and the destination's own gathering measures all that it holds at every line (sonic-boom 4.2:
 * `Buffer.byteLength` of the whole block), which costs more still. What is gathered is written at the process's end like the rest.
 */
export function gatherLines(destination: Destination): Destination {
  let text = "";
  let timer: NodeJS.Timeout | undefined;
  const write = destination.write.bind(destination);
  const flush = destination.flush.bind(destination);
  const flushSync = destination.flushSync.bind(destination);
  const handOn = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (text === "") return;
    const block = text;
    text = "";
    write(block);
  };
  return Object.assign(destination, {
    write(line: string): boolean {
      text += line;
      if (text.length >= fullLength) handOn();
      // It keeps the process: what is gathered when the loop runs empty would now and then be lost.
      else timer ??= setTimeout(handOn, longestWaitMs);
      return true;
    },
    flush(callback?: (error?: Error) => unknown): void {
      handOn();
      flush(callback);
    },
    flushSync(): void {
      handOn();
      flushSync();
    },
  });
}
