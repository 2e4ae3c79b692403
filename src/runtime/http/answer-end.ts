import type { ServerResponse } from "node:http";

const watchers: unique symbol = Symbol("watchers");

type Callback = (response: ServerResponse) => void;

interface Watched extends ServerResponse {
  [watchers]?: Callback;
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
  } else {
    watched[watchers] = (ended) => {
      before(ended);
      callback(ended);
    };
  }
}

function tellAll(this: Watched): void {
  this[watchers]?.(this);
}
