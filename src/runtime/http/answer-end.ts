import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

const watchers: unique symbol = Symbol("watchers");

type Callback = (response: ServerResponse) => void;

interface Watched extends ServerResponse {
  [watchers]?: Callback | undefined;
}

/**
 * Calls back when an answer is sent to its end or its client gone. However many ask, the answer has one listener: each more costs a microsecond. No
 * list of them either: see `ListPlace` for what becomes of literals that live as long as a request.
 */
export function whenEnded(response: ServerResponse, callback: Callback): void {
  const watched: Watched = response;
  const before = watched[watchers];
  if (before === undefined) {
    watched[watchers] = callback;
    response.on("close", tellAll);
    // Behind another answer on its connection: until its turn comes it has no socket, and hears nothing of that one's end.
    if (response.socket === null) watchWaiting(response);
  } else {
    watched[watchers] = (ended) => {
      before(ended);
      callback(ended);
    };
  }
}

function tellAll(this: Watched): void {
  const tell = this[watchers];
  this[watchers] = undefined;
  tell?.(this);
}

const waiting: unique symbol = Symbol("waiting");

/** One listener for all that wait on a connection: a client may send hundreds of requests before it reads. */
function watchWaiting(response: Watched): void {
  const socket: Socket & { [waiting]?: Set<Watched> } = response.req.socket;
  let responses = socket[waiting];
  if (responses === undefined) {
    const all = (responses = socket[waiting] = new Set());
    socket.once("close", () => {
      for (const left of all) tellAll.call(left);
    });
  }
  responses.add(response);
  response.once("close", () => responses.delete(response));
}
