/** HTTP/2 by hand, as much as a broken call needs: Node's own client refuses to send most of it. */
import { connect } from "node:net";
import { patienceMs, Wrong } from "./target.ts";

/** One call: what is in its head, and the bytes that follow. */
export interface FrameCall {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly data: readonly Uint8Array[];
  /** How it goes on behind its data: with its end, a reset of this code, or not at all. */
  readonly end: "end" | "none" | number;
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const types = { data: 0, headers: 1, reset: 3, settings: 4, goAway: 7 } as const;
const endStream = 1;
const endHeaders = 4;
const mostPayload = 16_384;

/** A frame of HTTP/2. */
function http2Frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** The length of a text with 7 bits of its first byte (RFC 7541, section 5.1). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** Literal, with names of their own, never indexed. */
function headerBlock(headers: FrameCall["headers"]): Buffer {
  return Buffer.concat(headers.map(([name, value]) => Buffer.concat([Buffer.of(0x10), text(name), text(value)])));
}

function callFrames({ headers, data, end }: FrameCall, stream: number): Buffer[] {
  const isLast = (index: number): boolean => end === "end" && index === data.length - 1;
  const frames = [http2Frame(types.headers, endHeaders | (isLast(-1) ? endStream : 0), stream, headerBlock(headers))];
  data.forEach((piece, index) =>
    frames.push(http2Frame(types.data, isLast(index) ? endStream : 0, stream, piece.subarray(0, mostPayload))),
  );
  if (typeof end === "number") {
    const code = Buffer.alloc(4);
    code.writeUInt32BE(end);
    frames.push(http2Frame(types.reset, 0, stream, code));
  }
  return frames;
}

/**
 * Makes calls on a connection of their own, and waits until each has ended, or the connection has.
 *
 * @throws Wrong where that takes too long
 */
export async function callByFrames(port: number, calls: readonly FrameCall[]): Promise<void> {
  const open = new Set<number>();
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Wrong(`${open.size} calls had no end within ${patienceMs} ms`));
    }, patienceMs);
    const endIfDone = (): void => {
      // A moment for what was never to be answered.
      if (open.size === 0) setTimeout(() => socket.destroy(), 1);
    };
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(late);
      resolve();
    });
    let unread: Buffer = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      unread = Buffer.concat([unread, piece]);
      while (unread.length >= 9) {
        const length = unread.readUIntBE(0, 3);
        if (unread.length < 9 + length) return;
        const [type, flags, stream] = [unread[3], unread[4] ?? 0, unread.readUInt32BE(5)];
        unread = unread.subarray(9 + length);
        const hasEnded = type === types.reset || ((type === types.headers || type === types.data) && (flags & endStream) !== 0);
        if (hasEnded) open.delete(stream);
        else if (type === types.goAway) open.clear();
        else if (type === types.settings && (flags & 1) === 0) socket.write(http2Frame(types.settings, 1, 0, Buffer.alloc(0)));
        if (hasEnded || type === types.goAway) endIfDone();
      }
    });
    socket.on("connect", () => {
      socket.write(Buffer.concat([preface, http2Frame(types.settings, 0, 0, Buffer.alloc(0))]));
      calls.forEach((call, index) => {
        const stream = 2 * index + 1;
        if (call.end === "end") open.add(stream);
        for (const frame of callFrames(call, stream)) socket.write(frame);
      });
      endIfDone();
    });
  });
}
