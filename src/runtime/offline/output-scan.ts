import type { FileHandle } from "node:fs/promises";
import { beginning, type Checkpoint } from "./checkpoint.ts";

const newline = 0x0a;
const pieceBytes = 256 * 1024;
const outputStart = Buffer.from('{"output":');
const errorStart = Buffer.from('{"error":');
const longestStart = Math.max(outputStart.length, errorStart.length);

/** What of an output is whole. */
export type WholeRows = Pick<Checkpoint, "rows" | "failed" | "outputBytes">;

/**
 * Finds the end of the last whole row of an output. What follows it is what a kill, or a machine that went off, left torn.
 *
 * @param from - a checkpoint, before which nothing needs to be looked at
 * @returns counts from the beginning on; less than `from` where the output is shorter than it was then
 */
export async function findWholeRows(file: FileHandle, from: Checkpoint): Promise<WholeRows> {
  const { size } = await file.stat();
  const isSound = size >= from.outputBytes && (from.outputBytes === 0 || (await byteAt(file, from.outputBytes - 1)) === newline);
  const start = isSound ? from : beginning;
  let { rows, failed, outputBytes } = start;
  const head = Buffer.alloc(longestStart);
  let headBytes = 0;
  let hasZeros = false;
  let at = outputBytes;
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, at);
    if (bytesRead === 0) return { rows, failed, outputBytes };
    const piece = buffer.subarray(0, bytesRead);
    for (let begin = 0; begin < bytesRead;) {
      const found = piece.indexOf(newline, begin);
      const end = found === -1 ? bytesRead : found;
      if (headBytes < longestStart) headBytes += piece.copy(head, headBytes, begin, Math.min(end, begin + longestStart - headBytes));
      // A machine that went off leaves zeros where it had not written yet; JSON has none.
      hasZeros ||= piece.subarray(begin, end).includes(0);
      if (found === -1) break;
      const isFailure = startsWith(head, headBytes, errorStart);
      if (hasZeros || (!isFailure && !startsWith(head, headBytes, outputStart))) return { rows, failed, outputBytes };
      rows += 1;
      if (isFailure) failed += 1;
      outputBytes = at + found + 1;
      headBytes = 0;
      begin = found + 1;
    }
    at += bytesRead;
  }
}

async function byteAt(file: FileHandle, place: number): Promise<number | undefined> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, place);
  return bytesRead === 1 ? buffer[0] : undefined;
}

function startsWith(head: Buffer, headBytes: number, start: Buffer): boolean {
  return headBytes >= start.length && head.subarray(0, start.length).equals(start);
}
