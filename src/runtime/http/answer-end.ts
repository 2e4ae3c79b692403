import type { ServerResponse } from "node:http";

const watchers: unique symbol = Symbol("watchers");

type Callback = (response: ServerResponse) => void;

interface Watched extends ServerResponse {
  [watchers]?: Callback[];
}

/** Calls back when an answer is sent to its end or its client gone. However many ask, the answer has one listener: each more costs a microsecond. */
export function whenEnded(response: ServerResponse, callback: Callback): void {
  const watched: Watched = response;
  if (watched[watchers] === undefined) {
    watched[watchers] = [callback];
    response.on("close", tellAll);
  } else {
    watched[watchers].push(callback);
  }
}

function tellAll(this: Watched): void {
  for (const callback of this[watchers] ?? []) callback(this);
}
