import type { FastifyReply } from "fastify";
import type { EngineState } from "../../engine/engine.ts";
import { ServableError, messageOf, type ErrorCode } from "../../errors.ts";

/** An error of ours for what somebody else threw. */
export interface ForeignProblem {
  readonly error: ServableError;
  /** Its own status; undefined where the code's holds. */
  readonly status: number | undefined;
}

/** What a status says that a hook or a plugin chose; any other from 400 to 499 is `invalid_request`. */
const codes: Readonly<Partial<Record<number, ErrorCode>>> = {
  401: "unauthenticated",
  403: "unauthenticated",
  404: "not_found",
  405: "method_not_allowed",
  406: "not_acceptable",
  408: "request_timeout",
  413: "payload_too_large",
  415: "unsupported_media_type",
  429: "overloaded",
  503: "overloaded",
};

/** The status of what was thrown, as Fastify reads it. */
export function foreignStatus(thrown: unknown, reply: FastifyReply): number {
  if (reply.statusCode >= 400) return reply.statusCode;
  const { statusCode, status } = (thrown ?? {}) as { readonly statusCode?: unknown; readonly status?: unknown };
  const own = statusCode ?? status;
  return typeof own === "number" && own >= 400 && own <= 599 ? own : 500;
}

/** What Fastify, or a hook or plugin of the user's own, threw, as an error of ours that keeps its status and its message. */
export function foreignProblem(thrown: unknown, reply: FastifyReply, state: EngineState): ForeignProblem {
  if (ServableError.isInstance(thrown)) return { error: thrown, status: undefined };
  const status = foreignStatus(thrown, reply);
  if (status >= 500 && status !== 503) {
    const text = "Something went wrong in the server. Its log tells more, under this request id.";
    return { error: new ServableError("internal", text, { cause: thrown }), status: undefined };
  }
  const code = status === 503 && state !== "ready" ? "not_ready" : (codes[status] ?? "invalid_request");
  return { error: new ServableError(code, textOf(thrown), { cause: thrown }), status };
}

function textOf(thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  // Fastify's own words repeat what was sent.
  if (code === "FST_ERR_BAD_URL" || code === "FST_ERR_MAX_PARAM_LENGTH") return "The request's address is malformed.";
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE") return "The content type is malformed.";
  const { message } = (thrown ?? {}) as { readonly message?: unknown };
  const text = typeof message === "string" ? message : messageOf(thrown);
  return text === "" ? "The request was refused." : text;
}
