import { errorFromData, errorToData, ServableError, type ErrorCode } from "../../errors.ts";
import { readFailureText } from "../failure-text.ts";
import { isJsonObject, parseJson } from "../json.ts";
import { codeOfStatus, errorFromText, problemContext } from "../problem.ts";

/** What a server that is too busy, or not there yet, says: nothing has been done, so the same may be asked again. */
const turnedAway: readonly (readonly [RegExp, ErrorCode])[] = [
  [/Exceeds maximum queue size/i, "overloaded"],
  [/is not at ready state|has no available versions/, "not_ready"],
  [/Request timeout expired/i, "deadline_exceeded"],
];

/** Reads an answer that is no success: `{"error": text}`, or whatever a proxy says. */
export async function readModelFailure(response: Response, requestId: string | undefined): Promise<ServableError> {
  const context = problemContext(response, requestId);
  const text = await readFailureText(response);
  const message = errorTextOf(text);
  const details = { status: response.status };
  if (message !== undefined) return new ServableError(codeOf(message, response.status), message, { ...context, details });
  const told = errorToData(errorFromText(response, text, context));
  return errorFromData({ ...told, details: { ...told.details, ...details } });
}

/** The text of `{"error": text}`; undefined for anything else, and for one that says nothing. */
function errorTextOf(text: string): string | undefined {
  try {
    const value = parseJson(text);
    return isJsonObject(value) && typeof value.error === "string" && value.error !== "" ? value.error : undefined;
  } catch {
    return undefined;
  }
}

/** What a text says of a request that was turned away; undefined for any other text. */
export function turnedAwayCode(message: string): ErrorCode | undefined {
  return turnedAway.find(([pattern]) => pattern.test(message))?.[1];
}

function codeOf(message: string, status: number): ErrorCode {
  const known = status === 503 ? turnedAwayCode(message) : undefined;
  return known ?? (status === 501 ? "unsupported" : codeOfStatus(status));
}
