/** The stage times of a request, as observers get them: of services with a state, of models within services, of calls within calls. */
import { setTimeout as pause } from "node:timers/promises";
import { InferenceService, Service, Tensor, defineService, type NamedArrays, type ServiceContext } from "servable";
import type { RequestEvent } from "servable/http";
import { describe, expect, test } from "vitest";
import { serve, until } from "../support/serving.ts";

const now = (): number => performance.timeOrigin + performance.now();
/** What a service noted of itself while it ran. */
const notes = { called: 0, inner: 0 };

const inner = defineService({
  name: "inner",
  async call(x) {
    notes.inner = now();
    await pause(20);
    return x;
  },
});

/** Its context is the call's own; that of what `defineService` makes stands on it. */
class Outer extends Service {
  static readonly definition = { name: "outer" };
  override async call(x: unknown, context: ServiceContext): Promise<unknown> {
    notes.called = now();
    await pause(20);
    const answer = await context.stage("inside", () => inner.call(x, context));
    await pause(20);
    return answer;
  }
}

const outerObject = defineService({
  name: "outer-object",
  setup: () => ({ factor: 2 }),
  async call(x, context) {
    notes.called = now();
    await pause(20);
    const answer = await context.stage("inside", () => inner.call(x, context));
    await pause(20);
    return Number(answer) * context.state.factor;
  },
});

const ones = { name: "ones", inputs: [], outputs: [], run: (inputs: NamedArrays) => inputs, close: () => undefined };
const around = {
  preprocess: async (x: unknown) => {
    await pause(10);
    return { x: new Tensor("FP32", [1, 1], Float32Array.of(Number(x))) };
  },
  postprocess: (outputs: NamedArrays) => outputs.x?.as("FP32").data[0],
};

/** A service with a state that is a service around a model. */
const withModel = defineService({
  name: "with-model",
  async setup(context) {
    const service = new InferenceService<unknown, unknown>(around, () => ones);
    await service.setup(context);
    return service;
  },
  call: (x, context) => context.state.call(x, context),
  close: (service) => service.close(),
});

async function eventOf(service: (new () => Service) | typeof outerObject, path: string): Promise<RequestEvent> {
  await using server = await serve([service as never]);
  expect(await (await server.post(path, "3")).json()).toBe(path === "/outer-object" ? 6 : 3);
  await until(() => server.events.length === 1, "the event");
  return server.events[0]!;
}

const stagesOf = ({ stages }: RequestEvent, name: string): RequestEvent["stages"] => stages.filter(({ stage }) => stage === name);

describe("the times of a request", () => {
  test.each([
    ["a class", Outer, "/outer"],
    ["an object with a state", outerObject, "/outer-object"],
  ])("whose service (%s) calls another one have that as a part of its own time, told once", async (_what, service, path) => {
    const event = await eventOf(service, path);
    const [call, ...others] = stagesOf(event, "call");
    expect(others).toEqual([]);
    const [inside] = stagesOf(event, "inside");
    const [start, end] = [call!.startedAt, call!.startedAt + call!.ms];
    // Both on one clock, so that what happened first is told first.
    expect(start).toBeLessThanOrEqual(notes.called);
    expect(inside!.startedAt).toBeGreaterThan(notes.called);
    expect(inside!.startedAt).toBeLessThanOrEqual(notes.inner);
    expect(inside!.startedAt + inside!.ms).toBeLessThan(end);
    expect(inside!.ms).toBeLessThan(call!.ms);
    expect(end).toBeLessThanOrEqual(event.startedAt + event.totalMs + 0.001);
  });

  test("whose service has a model inside its state hold that model's stages, one after the other within the call", async () => {
    const event = await eventOf(withModel as never, "/with-model");
    const [call] = stagesOf(event, "call");
    const inside = ["preprocess", "model", "postprocess"].map((name) => stagesOf(event, name));
    expect(inside.map((list) => list.length)).toEqual([1, 1, 1]);
    let at = call!.startedAt;
    for (const [stage] of inside) {
      expect(stage!.startedAt).toBeGreaterThanOrEqual(at);
      at = stage!.startedAt + stage!.ms - 0.001;
    }
    expect(at).toBeLessThanOrEqual(call!.startedAt + call!.ms);
    expect(inside[0]![0]!.ms).toBeGreaterThan(5);
  });
});
