/** What a server answers on a bare connection, in a form in which two servers can be held against each other. */
import { setTimeout as pause } from "node:timers/promises";
import { openRaw } from "./serving.ts";

/** One answer: everything of it that must be the same wherever it comes from. */
export interface RawAnswer {
  readonly status: string;
  /** Sorted, names in lower case, without what differs from one answer to the next. */
  readonly headers: readonly string[];
  readonly body: string;
}

/**
 * Sends pieces of bytes one after the other, reads to the end of the connection, and gives every answer.
 *
 * @param pieces - the last of them must make the server close the connection
 */
export async function exchangeRaw(port: number, pieces: readonly (string | Uint8Array)[]): Promise<readonly RawAnswer[]> {
  using connection = await openRaw(port);
  connection.socket.setNoDelay(true);
  for (const [index, piece] of pieces.entries()) {
    // So that each is a packet of its own.
    if (index > 0) await pause(1);
    connection.write(piece);
  }
  return splitAnswers(await connection.closed);
}

/**
 * As {@link exchangeRaw}, but each piece waits for some answer to the one before it: for its first bytes, or for what takes none.
 *
 * @param pieces - the last of them must make the server close the connection
 */
export async function converseRaw(port: number, pieces: readonly (string | Uint8Array)[]): Promise<readonly RawAnswer[]> {
  using connection = await openRaw(port);
  connection.socket.setNoDelay(true);
  let before = "";
  for (const [index, piece] of pieces.entries()) {
    for (let turn = 0; index > 0 && turn < 20 && connection.received() === before; turn += 1) await pause(1);
    before = connection.received();
    connection.write(piece);
  }
  return splitAnswers(await connection.closed);
}

/** @param text - answers on one connection, one after the other; none of their bodies holds a status line */
export function splitAnswers(text: string): readonly RawAnswer[] {
  return text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((part) => part !== "")
    .map(readAnswer);
}

function readAnswer(text: string): RawAnswer {
  const at = text.indexOf("\r\n\r\n");
  const [status = "", ...lines] = text.slice(0, at).split("\r\n");
  const headers = lines.map((line) => line.slice(0, line.indexOf(":")).toLowerCase() + line.slice(line.indexOf(":")));
  const sent = text.slice(at + 4);
  const body = headers.includes("transfer-encoding: chunked") ? unchunk(sent) : sent;
  return {
    status,
    headers: headers
      .filter((header) => !header.startsWith("date: "))
      .map((header) => sameIds(header).replace(/^content-length: (\d+)$/, (_, length) => `content-length: ${fits(Number(length), body)}`))
      .sort(),
    body: sameIds(body),
  };
}

/** A length is as it should be, or told: the ids that a server makes are not all of one length. */
function fits(length: number, body: string): string {
  if (length === Buffer.byteLength(body)) return length === 0 ? "0" : "<right>";
  return body === "" ? "<of no body>" : String(length);
}

function sameIds(text: string): string {
  return text.replaceAll(/\b[0-9a-f]{16}-[0-9a-z]+\b/g, "<made>");
}

function unchunk(text: string): string {
  let rest = text;
  let body = "";
  for (;;) {
    const [line = ""] = rest.split("\r\n", 1);
    const size = Number.parseInt(line, 16);
    // A stream that failed has no last chunk.
    if (rest === "") return `${body}<cut off>`;
    if (!(size > 0)) return body;
    body += rest.slice(line.length + 2, line.length + 2 + size);
    rest = rest.slice(line.length + 4 + size);
  }
}
