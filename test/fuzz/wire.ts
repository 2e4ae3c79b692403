import { connect } from "node:net";
import type { HttpAnswer } from "./http.ts";
import { Wrong, patienceMs } from "./target.ts";

/** What is written to a bare socket. */
export interface WireScript {
  readonly parts: readonly Uint8Array[];
  /** Between the parts. */
  readonly pauseMs: number;
  /** How the client ends: it waits for the server to close, says that it sends no more, or is gone after a while. */
  readonly end: "wait" | "half-close" | "leave";
  readonly leaveMs: number;
}

/** What came over a bare socket until it was closed. @throws Wrong where a server that has to close it does not */
export async function talk(port: number, { parts, pauseMs, end, leaveMs }: WireScript): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Wrong(`the server did not close the connection within ${patienceMs} ms`));
    }, patienceMs);
    socket.on("data", (piece: Buffer) => pieces.push(piece));
    // The server may cut it whenever it likes; whether it still runs is seen elsewhere.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(late);
      resolve();
    });
    const next = (at: number): void => {
      const part = parts[at];
      if (socket.destroyed) return;
      if (part !== undefined) {
        socket.write(part);
        if (pauseMs > 0) setTimeout(next, pauseMs, at + 1);
        else setImmediate(next, at + 1);
      } else if (end === "half-close") socket.end();
      else if (end === "leave") setTimeout(() => socket.destroy(), leaveMs);
    };
    socket.on("connect", () => next(0));
  });
  return Buffer.concat(pieces);
}

/** Takes apart the answers that came one after the other; the last may be cut off where `cut` is set. */
export function readAnswers(bytes: Buffer, cut: boolean): readonly HttpAnswer[] {
  const answers: HttpAnswer[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) {
      if (cut) return answers;
      throw new Wrong(`an answer without an end of its head: ${rest.subarray(0, 300).toString("latin1")}`);
    }
    const [first = "", ...lines] = rest.subarray(0, end).toString("latin1").split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Wrong(`not the first line of an answer: ${first}`);
    rest = rest.subarray(end + 4);
    if (status < 200) continue;
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    const { body, left } =
      headers["transfer-encoding"] === "chunked" ? readChunks(rest) : readLength(rest, Number(headers["content-length"] ?? 0));
    if (body === undefined) {
      if (cut) return answers;
      throw new Wrong("an answer that is cut off");
    }
    answers.push({ status, headers, body });
    rest = left;
  }
  return answers;
}

interface ReadBody {
  /** Undefined where it is cut off. */
  readonly body: Buffer | undefined;
  readonly left: Buffer;
}

function readLength(bytes: Buffer, length: number): ReadBody {
  return { body: bytes.length < length ? undefined : bytes.subarray(0, length), left: bytes.subarray(length) };
}

function readChunks(bytes: Buffer): ReadBody {
  const pieces: Buffer[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf("\r\n");
    const size = end < 0 ? Number.NaN : Number.parseInt(rest.subarray(0, end).toString(), 16);
    if (Number.isNaN(size) || rest.length < end + 2 + size + 2) return { body: undefined, left: rest };
    pieces.push(rest.subarray(end + 2, end + 2 + size));
    rest = rest.subarray(end + 2 + size + 2);
    if (size === 0) return { body: Buffer.concat(pieces), left: rest };
  }
}
