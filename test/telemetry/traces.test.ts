import { propagation, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { defineService } from "servable";
import { HttpRuntime, requestTraces } from "servable/http";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const think = defineService({
  name: "think",
  call: (value, { stage }) => stage("ponder", () => new Promise((resolve) => setTimeout(resolve, 30, value))),
});
const fail = defineService({
  name: "fail",
  call: (): never => {
    throw new Error("inside");
  },
});
const onThread = { module: pathToFileURL(builtFixture("test/fixtures/worker-services.ts")).href, export: "double" };
const runtime = new HttpRuntime({
  services: [think, fail, { service: onThread, policy: { placement: "thread" } }],
  port: 0,
  observers: [requestTraces({ tracer: provider.getTracer("test") })],
});
const traceId = "0af7651916cd43dd8448eb211c80319c";
const parentId = "b7ad6b7169203331";

beforeAll(async () => {
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  await runtime.start();
});
afterAll(async () => {
  await runtime.stop();
  propagation.disable();
});

async function trace(service: string, body: string): Promise<{ readonly root: ReadableSpan; readonly stages: readonly ReadableSpan[] }> {
  exporter.reset();
  const answer = await fetch(`${runtime.url}/${service}`, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: `00-${traceId}-${parentId}-01` },
    body,
  });
  await answer.text();
  const spans = exporter.getFinishedSpans();
  const root = spans.find(({ kind }) => kind === SpanKind.SERVER);
  if (root === undefined) throw new Error("there is no span of the request");
  return { root, stages: spans.filter((span) => span !== root) };
}

const ms = ([seconds, nanoseconds]: readonly [number, number]): number => seconds * 1_000 + nanoseconds / 1e6;

test("a request is a span in its client's trace, and each stage one within it", async () => {
  const { root, stages } = await trace("think", "1");
  expect(root.name).toBe("think");
  expect(root.spanContext().traceId).toBe(traceId);
  expect(root.parentSpanContext?.spanId).toBe(parentId);
  expect(root.attributes).toMatchObject({ "rpc.service": "think", "servable.outcome": "ok" });
  expect(root.status.code).toBe(SpanStatusCode.UNSET);
  expect(stages.map(({ name }) => name).sort()).toEqual(["call", "deserialize", "ponder", "queue", "serialize"]);
  for (const stage of stages) {
    expect(stage.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
    // A millisecond for the clocks' rounding.
    expect(ms(stage.startTime)).toBeGreaterThanOrEqual(ms(root.startTime) - 1);
    expect(ms(stage.endTime)).toBeLessThanOrEqual(ms(root.endTime) + 1);
  }
  const ponder = stages.find(({ name }) => name === "ponder");
  expect(ponder && ms(ponder.duration)).toBeGreaterThanOrEqual(25);
});

test("stages in a worker are told in the same time", async () => {
  const { root, stages } = await trace("double", '{"x":21}');
  expect(stages.map(({ name }) => name)).toContain("call");
  for (const stage of stages) {
    expect(ms(stage.startTime)).toBeGreaterThanOrEqual(ms(root.startTime) - 2);
    expect(ms(stage.endTime)).toBeLessThanOrEqual(ms(root.endTime) + 2);
  }
});

test("a failure of the service is one of the span; a client's mistake is told, and is none", async () => {
  const failed = await trace("fail", "1");
  expect(failed.root.status.code).toBe(SpanStatusCode.ERROR);
  expect(failed.root.attributes["error.type"]).toBe("service_failed");
  const refused = await trace("think", "{");
  expect(refused.root.status.code).toBe(SpanStatusCode.UNSET);
  expect(refused.root.attributes["error.type"]).toBe("invalid_request");
});

test("without an SDK nothing happens", async () => {
  const bare = new HttpRuntime({ services: [think], port: 0, observers: [requestTraces()] });
  await bare.start();
  const answer = await fetch(`${bare.url}/think`, { method: "POST", body: "1", headers: { "content-type": "application/json" } });
  expect(await answer.json()).toBe(1);
  await bare.stop();
});
