import { propagation, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { defineService } from "servable";
import { HttpRuntime, requestTraces } from "servable/http";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
const models = builtFixture("test/fixtures/inference-services.ts");
const runtime = new HttpRuntime({
  services: [
    think,
    fail,
    { service: onThread, policy: { placement: "thread" } },
    ...["single", "batched", "staged", "lengths"].map((name) => ({ module: models, export: name })),
  ],
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

describe("a service around a model", () => {
  const stagesOf = (spans: readonly ReadableSpan[], ...names: readonly string[]): readonly ReadableSpan[] =>
    names.map((name) => {
      const found = spans.filter((span) => span.name === name);
      expect(found, name).toHaveLength(1);
      return found[0]!;
    });

  test.each([
    ["single", "the model on a thread"],
    ["batched", "the model on a thread, in batches"],
    ["staged", "preprocess and postprocess on threads of their own, too"],
  ])("(%s: %s) has a span for each of its three stages, one after the other, within the call and in the client's trace", async (name) => {
    const { root, stages } = await trace(name, '{"x":20}');
    expect(root.parentSpanContext?.spanId).toBe(parentId);
    const [call] = stagesOf(stages, "call");
    let end = ms(call!.startTime) - 1;
    for (const stage of stagesOf(stages, "preprocess", "model", "postprocess")) {
      expect(stage.spanContext().traceId).toBe(traceId);
      expect(stage.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
      expect(ms(stage.startTime)).toBeGreaterThanOrEqual(end);
      // The clocks of two threads agree to a part of a millisecond.
      end = ms(stage.endTime) - 0.5;
    }
    expect(end).toBeLessThanOrEqual(ms(call!.endTime) + 1);
    expect(ms(call!.endTime)).toBeLessThanOrEqual(ms(root.endTime) + 1);
    // The model takes 5 ms of the calendar, by a timer.
    if (name !== "staged") expect(ms(stagesOf(stages, "model")[0]!.duration)).toBeGreaterThan(4);
  });

  test.each(["single", "staged"])("(%s) whose model fails has the spans up to there, and its failure", async (name) => {
    const { root, stages } = await trace(name, '{"x":13}');
    expect(root.status.code).toBe(SpanStatusCode.ERROR);
    expect(root.attributes["error.type"]).toBe("service_failed");
    stagesOf(stages, "preprocess", "model");
    expect(stages.map((span) => span.name)).not.toContain("postprocess");
  });

  test("that puts whole requests together has a span for the model", async () => {
    const { root, stages } = await trace("lengths", '"four"');
    const [model] = stagesOf(stages, "model");
    expect(model?.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
    expect(ms(model!.duration)).toBeGreaterThan(20);
  });

  test("requests that share a batch have a trace each", async () => {
    exporter.reset();
    await Promise.all(
      Array.from({ length: 6 }, async (_, x) => {
        const traceparent = `00-${traceId.slice(0, -1)}${x}-${parentId}-01`;
        const headers = { "content-type": "application/json", traceparent };
        await (await fetch(`${runtime.url}/batched`, { method: "POST", headers, body: `{"x":${x + 20}}` })).text();
      }),
    );
    const spans = exporter.getFinishedSpans();
    for (let x = 0; x < 6; x += 1) {
      const own = spans.filter((span) => span.spanContext().traceId === `${traceId.slice(0, -1)}${x}`);
      const roots = own.filter(({ kind }) => kind === SpanKind.SERVER);
      expect(roots).toHaveLength(1);
      for (const span of stagesOf(own, "preprocess", "model", "postprocess")) {
        expect(span.parentSpanContext?.spanId).toBe(roots[0]!.spanContext().spanId);
      }
    }
  });
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
