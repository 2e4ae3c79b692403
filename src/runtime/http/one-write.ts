import type { ServerResponse } from "node:http";

/** As much as Node writes from the stack. */
const shortBytes = 4_096;

/**
 * Ends a response, whose head is not sent yet, with a text. Of a short one head and text go to the socket in one write; `end(text)` would
 * hand it a second, empty piece, and two pieces take a longer way (`writev`), at a microsecond or two a request.
 *
 * @param bytes - the length of the text in UTF-8
 */
export function endWithText(response: ServerResponse, text: string, bytes: number): void {
  const { socket } = response;
  // Answers to pipelined requests get their socket in turn.
  if (socket === null || bytes === 0 || bytes > shortBytes) {
    response.end(text);
    return;
  }
  socket.cork();
  // ASCII is the same in both, and need not be converted.
  response.write(text, bytes === text.length ? "latin1" : "utf8");
  socket.uncork();
  response.end();
}
