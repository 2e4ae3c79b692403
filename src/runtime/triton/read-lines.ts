import { StringDecoder } from "node:string_decoder";
import type { Readable } from "node:stream";

/** A line that is longer comes in pieces. */
const longestLine = 64 * 1024;

/** Hands on what a stream gives, line by line. @returns resolves when the stream has ended */
export function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const take = (text: string): void => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (rest.length < longestLine) return;
    onLine(rest);
    rest = "";
  };
  stream.on("data", (chunk: Buffer) => {
    take(decoder.write(chunk));
  });
  return new Promise((resolve) => {
    const end = (): void => {
      const last = rest + decoder.end();
      rest = "";
      if (last !== "") onLine(last);
      resolve();
    };
    stream.once("end", end);
    // One that breaks ends, too.
    stream.once("error", end);
  });
}
