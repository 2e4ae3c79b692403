import type { Metadata } from "@grpc/grpc-js";
import { ServableError } from "../../errors.ts";
import { InferenceError, statusOf } from "../../protocol/inference-error.ts";
import type { GrpcJs } from "../../protocol/grpc/packages.ts";
import { internalCodes, problemOf, toWireError } from "../http/problem.ts";
import { grpcCode, inferenceCode } from "./status.ts";

/** A call's end that is a failure. */
export interface Failure {
  readonly code: number;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** Trailers must fit into what clients take of headers, 8 KiB by default: a text of this length does after it is escaped. */
const longestText = 2_000;
const longestProblemBytes = 4_000;

/** A failure of a service: its code's status, and in the trailers its code and the whole problem, as JSON. */
export function failureOf({ Metadata: GrpcMetadata }: GrpcJs, thrown: unknown, requestId: string): Failure {
  const error = toWireError(thrown);
  const metadata = new GrpcMetadata();
  metadata.set("servable-code", error.code);
  metadata.set("x-request-id", requestId);
  const problem = Buffer.from(JSON.stringify(problemOf(error, requestId)));
  // One that is too long would take the whole answer with it.
  if (problem.byteLength <= longestProblemBytes) metadata.set("servable-problem-bin", problem);
  // What gRPC's own retries read.
  if (error.retryAfterMs !== undefined) metadata.set("grpc-retry-pushback-ms", String(Math.ceil(error.retryAfterMs)));
  return { code: grpcCode[error.code], details: textForStatus(error.message), metadata };
}

/** A failure of the Open Inference Protocol: its status and its text, to the letter. */
export function inferenceFailure(thrown: unknown): Failure {
  return { code: inferenceCodeOf(thrown), details: textForStatus(inferenceText(thrown)) };
}

function inferenceCodeOf(thrown: unknown): number {
  if (thrown instanceof InferenceError || !ServableError.isInstance(thrown)) return inferenceCode[statusOf(thrown)];
  // gRPC has statuses of its own for what Triton has none for.
  return thrown.code === "deadline_exceeded" || thrown.code === "unauthenticated" ? grpcCode[thrown.code] : inferenceCode[statusOf(thrown)];
}

/** What of a failure clients may read. */
export function inferenceText(thrown: unknown): string {
  if (ServableError.isInstance(thrown) && !internalCodes.has(thrown.code)) return thrown.message;
  return "internal error: the server's log tells more";
}

/** A text that fits into a status: grpc-js escapes it with encodeURI, which throws at halves of characters. */
export function textForStatus(text: string): string {
  const whole = text.length > longestText ? `${text.slice(0, longestText)}…` : text;
  return Buffer.from(whole, "utf8").toString("utf8");
}
