import type { Readable, Writable } from "node:stream";

/** A line that is longer goes on in pieces. */
const longestLine = 64 * 1024;
const newline = 0x0a;

/** Hands on what one stream gives to another, whole lines at a time, so that those of several writers don't mix. Its end ends nothing. */
export function forwardLines(source: Readable, target: Writable): void {
  let rest: Buffer[] = [];
  let restBytes = 0;
  const write = (...parts: readonly Buffer[]): void => {
    const text = Buffer.concat([...rest, ...parts]);
    rest = [];
    restBytes = 0;
    if (target.write(text)) return;
    source.pause();
    target.once("drain", () => {
      source.resume();
    });
  };
  source.on("data", (chunk: Buffer) => {
    const end = chunk.lastIndexOf(newline) + 1;
    if (end > 0) write(chunk.subarray(0, end));
    if (end === chunk.length) return;
    rest.push(chunk.subarray(end));
    restBytes += chunk.length - end;
    if (restBytes >= longestLine) write();
  });
  source.once("end", () => {
    if (restBytes > 0) write(Buffer.from("\n"));
  });
}
