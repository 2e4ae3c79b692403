import type { Server } from "node:http";
import type { Socket } from "node:net";

/** How long connections may be silent. */
export interface SilenceLimits {
  /** For so long a client may take nothing of what is written. @default 120000, at most `silentMs` */
  readonly stalledMs?: number | undefined;
  /** For so long nothing may move at all: the silence may be the server's own, which has no answer yet. */
  readonly silentMs: number;
}

/**
 * What a client doesn't take is kept for it, with the place of a stream. A slow one is no other to the system until a third of a socket's buffer is free,
 * which at 16 kB/s takes more than a minute.
 */
export const usualStalledMs = 120_000;

interface Silence {
  readonly bytes: number;
  readonly ms: number;
}

/**
 * Cuts connections on which nothing moves. Node has one limit for all of them; here it is shorter where the client has something to take. Whether it takes
 * anything is the socket's own timer's to say, which also knows of a write of which the system has taken a piece.
 */
export function boundSilence(server: Server, { silentMs, stalledMs = usualStalledMs }: SilenceLimits): void {
  const lookMs = Math.min(stalledMs, silentMs);
  server.setTimeout(lookMs);
  const silences = new WeakMap<Socket, Silence>();
  server.on("timeout", (socket: Socket) => {
    // Any other limit is that of an idle connection.
    if (socket.timeout !== lookMs || socket.writableLength > 0) {
      socket.destroy();
      return;
    }
    const bytes = socket.bytesRead + socket.bytesWritten;
    const before = silences.get(socket);
    const ms = lookMs + (before?.bytes === bytes ? before.ms : 0);
    if (ms >= silentMs) {
      socket.destroy();
      return;
    }
    silences.set(socket, { bytes, ms });
    socket.setTimeout(lookMs);
  });
}
