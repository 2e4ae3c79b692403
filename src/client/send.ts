import { readAnswer, type Answer, type Source } from "./answer.ts";
import { exchange, type Exchange } from "./exchange.ts";
import { errorFromResponse } from "./problem.ts";

// A stream is asked for as events, which tell its end from its breaking off. What else there is, the service knows best.
const accept = "application/json, text/event-stream;q=0.9, */*;q=0.1";

/** One call of a service, ready to be sent. */
export interface OutgoingCall extends Pick<Exchange<Answer>, "client" | "call" | "clock" | "path" | "encode"> {
  readonly source: Source;
}

/** Sends a call, again where that is safe, and reads its answer. */
export async function send({ source, ...outgoing }: OutgoingCall): Promise<Answer> {
  const { clock } = outgoing;
  const read = (response: Response): Promise<Answer> => readAnswer(response, clock, source);
  const answer = await exchange({ ...outgoing, accept, read, readFailure: errorFromResponse });
  if (answer.kind === "value") clock.close();
  return answer;
}
