import { ROOT_CONTEXT, SpanKind, SpanStatusCode, propagation, trace, type Context, type Span, type Tracer } from "@opentelemetry/api";
import type { Observer, RequestEvent } from "../engine/observer.ts";
import { refuseUnknownKeys } from "../known-keys.ts";
import { isMishap } from "./logs.ts";

/** How requests are traced. */
export interface TraceOptions {
  /** @default the one of the tracer provider that is registered with OpenTelemetry's API */
  readonly tracer?: Tracer | undefined;
}

/**
 * Tells OpenTelemetry of each request: a span for it, within the client's trace where one came along (`traceparent`), and one for each of its
 * stages. Where no SDK is registered it does nothing. Attributes follow OpenTelemetry's semantic conventions for RPC.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { HttpRuntime, requestTraces } from "servable/http";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * new HttpRuntime({ services: [hello], observers: [requestTraces()] });
 * ```
 */
export function requestTraces(options: TraceOptions = {}): Observer {
  refuseUnknownKeys(options, { tracer: true }, "requestTraces");
  const tracer = options.tracer ?? trace.getTracer("servable");
  return {
    requestFinished(event: RequestEvent): void {
      const { startedAt: startTime } = event;
      const parent = propagation.extract(ROOT_CONTEXT, event.metadata());
      const attributes = {
        "rpc.system": "servable",
        "rpc.service": event.service ?? "",
        "servable.request_id": event.requestId,
        "servable.outcome": event.outcome,
        ...(event.items === undefined ? {} : { "servable.items": event.items }),
      };
      const span = tracer.startSpan(event.service ?? "unknown service", { kind: SpanKind.SERVER, startTime, attributes }, parent);
      if (span.isRecording()) {
        addStages(tracer, trace.setSpan(parent, span), event);
        tellFailure(span, event);
      }
      span.end(startTime + event.totalMs);
    },
  };
}

function addStages(tracer: Tracer, context: Context, { stages }: RequestEvent): void {
  for (const { stage, startedAt, ms } of stages) {
    tracer.startSpan(stage, { kind: SpanKind.INTERNAL, startTime: startedAt }, context).end(startedAt + ms);
  }
}

/** A client's own mistake is no failure of the server's span, as for HTTP. */
function tellFailure(span: Span, { error }: RequestEvent): void {
  if (error === undefined) return;
  span.setAttribute("error.type", error.code);
  if (isMishap(error.code)) span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
}
