/** What the engine holds of one worker: the built one, as workers are. */
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { InferencePlacement } from "../../dist/engine/placement/inference.js";
import { RemoteModel } from "../../dist/engine/placement/remote-model.js";
import { RemoteService } from "../../dist/engine/placement/remote-service.js";
import { resolvePolicy } from "../../dist/engine/policy.js";
import { CallContext } from "../../dist/service/call-context.js";
import { ServiceLoader } from "../../dist/service/loader.js";
import { ServableError, Tensor, type NamedArrays } from "servable";
import { builtFixture } from "../support/fixtures.ts";
import { keepLog, until } from "../support/serving.ts";

const module = pathToFileURL(builtFixture("test/fixtures/waiting-services.ts")).href;
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

const startOf = (name: string, stagesOnly = false) => ({
  kind: "thread" as const,
  init: { service: name, spec: { module, export: name }, maxBodyBytes: 1_000_000, place: { worker: 0, device: undefined }, stagesOnly },
  log: keepLog(),
  killAfterMs: 1_000,
  longestRunMs: 10_000,
});

async function modelOf(name: string) {
  const exits: string[] = [];
  const model = new RemoteModel(startOf(name), (reason) => exits.push(reason));
  stops.push(() => model.stop());
  await model.ready();
  return { model, exits };
}

async function serviceOf(name: string, runModel?: (inputs: NamedArrays) => Promise<NamedArrays>) {
  const service = new RemoteService(
    startOf(name, runModel !== undefined),
    () => undefined,
    () => undefined,
    runModel,
  );
  stops.push(() => service.stop());
  await service.ready();
  return service;
}

const inputs = (x: number): NamedArrays => ({ x: new Tensor("FP32", [1, 1], Float32Array.of(x)) });
const batch = { onGivenUp: undefined, checkWanted: () => undefined };
const json = (value: unknown) => ({ contentType: "application/json", body: new TextEncoder().encode(JSON.stringify(value)) });

describe("a model elsewhere", () => {
  test("arrays that can't cross fail their run, and the worker is not busy with them", async () => {
    const { model } = await modelOf("doomed");
    const gone = new Float32Array(8_192);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    await expect(model.run({ x: new Tensor("FP32", [0], gone) }, "arrays", batch)).rejects.toThrow();
    expect(model.inFlight).toBe(0);
    expect((await model.run(inputs(0), false, batch)).x?.toNested()).toEqual([[0]]);
  });

  test("one that has only been warmed up has not proved itself: when it dies, that is a death at birth", async () => {
    const { model } = await modelOf("doomed");
    await model.run(inputs(0), false);
    expect(model.finishedARequest).toBe(false);
    await model.run(inputs(0), false, batch);
    expect(model.finishedARequest).toBe(true);
  });

  test("a run for one that is gone fails at once", async () => {
    const { model, exits } = await modelOf("doomed");
    await expect(model.run(inputs(1), false, batch)).rejects.toMatchObject({ code: "worker_crashed" });
    await until(() => exits.length === 1, "its end");
    await expect(model.run(inputs(0), false, batch)).rejects.toMatchObject({ code: "worker_crashed" });
    expect(model.inFlight).toBe(0);
  });
});

describe("a service elsewhere", () => {
  test("a call that can't cross fails with a reason for the log, and nothing of it stays", async () => {
    const service = await serviceOf("holding");
    const context = new CallContext({ metadata: () => new Proxy<Record<string, string>>({}, {}) });
    const failure = await service.call(json(0), context).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ code: "internal", message: "The request could not be sent to its worker." });
    expect((failure as ServableError).cause).toMatchObject({ name: "DataCloneError" });
    expect(service.inFlight).toBe(0);
    // It watches no abort any more: a word of it would be for a call that the worker does not know.
    context.abort(new ServableError("cancelled", "Gone."));
    await expect(service.call(json(0), new CallContext())).resolves.toMatchObject({ kind: "value", body: "0" });
  });

  test("a call for one that is gone fails at once", async () => {
    const service = await serviceOf("frail", () => Promise.reject(new Error("never asked")));
    await expect(service.call(json(666), new CallContext())).rejects.toMatchObject({ code: "worker_crashed" });
    await expect(service.call(json(1), new CallContext())).rejects.toMatchObject({ code: "worker_crashed" });
    expect(service.inFlight).toBe(0);
  });

  test("is told of an abort or a failure whose details can't cross, without them", async () => {
    // A proxy looks like what it stands for, and can't be copied.
    const details = new Proxy<Record<string, string>>({}, {});
    const runs: ((error: Error) => void)[] = [];
    const service = await serviceOf("frail", () => new Promise((_resolve, reject) => runs.push(reject)));
    const failing = service.call(json(1), new CallContext());
    await until(() => runs.length === 1, "the model's run");
    runs[0]?.(new ServableError("overloaded", "Not now.", { details }));
    await expect(failing).rejects.toMatchObject({ code: "overloaded", message: "Not now." });

    const context = new CallContext();
    const aborted = service.call(json(1), context);
    await until(() => runs.length === 2, "the model's run");
    context.abort(new ServableError("cancelled", "Gone.", { details }));
    runs[1]?.(new ServableError("cancelled", "Gone."));
    await expect(aborted).rejects.toMatchObject({ code: "cancelled" });
    expect(service.inFlight).toBe(0);
  });

  test("when it dies, the calls in it are told, in their contexts, too", async () => {
    const runs: unknown[] = [];
    const service = await serviceOf("frail", () => new Promise(() => runs.push(1)));
    const context = new CallContext();
    const reasons: unknown[] = [];
    context.watchAbort((reason) => reasons.push(reason));
    const call = service.call(json(1), context);
    await until(() => runs.length === 1, "the model's run");
    await expect(service.call(json(666), new CallContext())).rejects.toMatchObject({ code: "worker_crashed" });
    await expect(call).rejects.toMatchObject({ code: "worker_crashed" });
    expect(reasons).toEqual([expect.objectContaining({ code: "worker_crashed" })]);
  });
});

test("a service that is stopped while its model is loaded is not set up any more", async () => {
  const definition = await new ServiceLoader({ module, export: "doomed" }).definition();
  const changes: string[] = [];
  const placement = new InferencePlacement({
    definition,
    loadModel: () => Promise.reject(new Error("it is loaded in its worker")),
    worker: { kind: "thread", spec: { module, export: "doomed" } },
    policy: resolvePolicy(definition, {}),
    log: keepLog(),
    onChange: ({ change }) => changes.push(change),
    onBatch: () => undefined,
    arrivals: undefined,
  });
  stops.push(() => placement.stop());
  await expect(placement.start(AbortSignal.abort(new Error("stopped")))).rejects.toThrow("stopped");
  expect(changes).toEqual(["ready"]);
});
