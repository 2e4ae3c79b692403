/** Mistakes of somebody new, in plain JavaScript, where no compiler helps: what the error says of each. */
import {
  BytesHandler,
  PipelineService,
  Service,
  ServiceLoader,
  defineBatchable,
  defineInference,
  definePipeline,
  defineService,
} from "servable";
import { OpenInferenceClient, createClient } from "servable/client";
import { GrpcInferenceClient } from "servable/grpc";
import { HttpRuntime, ModelHttpServer } from "servable/http";
import { ModelRepositoryServer } from "servable/server";
import { callService, createTestRuntime } from "servable/testing";
import { TritonModelConfig, TritonModelServer } from "servable/triton";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { keepLog } from "../support/serving.ts";

const name = "a";
const call = (value: unknown): unknown => value;
const model = call;
const log = keepLog();
const echo = defineService({ name: "echo", call });
/** What a compiler would not let through. */
const any = (value: unknown): never => value as never;
const serve = (services: unknown): Promise<void> => new HttpRuntime({ services: any(services), port: 0, log }).start();

class Uncallable extends (Service as new () => object) {}
class Constant extends Service {
  override call(): number {
    return 1;
  }
}
/** Its `call` is a field of each instance, and so not on the prototype. */
class Arrow extends Service {
  override readonly call = (): number => 1;
}

const kinds = "zod 3.24, valibot 1.0 and arktype 2.0 or newer speak it.";
const nobody = "Nothing listens there: start the server, or check the port.";
const broken = defineService({
  name,
  call,
  setup: () => {
    throw new Error("no model");
  },
});
const sources = "A service to run must be a definition, a class that extends Service, or a LoaderSpec";

describe("the message says what was wrong, where, and what to do:", () => {
  test.each<readonly [message: string, make: () => unknown]>([
    ["A service takes an object with options, not undefined. There is: name, ", () => defineService(any(undefined))],
    ["A service takes an object with options, not a string. There is: name, ", () => defineService(any("a"))],
    ["Service 'a' has no option 'handler'. There is: name, ", () => defineService(any({ name, handler: call }))],
    ["Service 'a' has no `call` function.", () => defineService(any({ name }))],
    ["Service 'a': its `call` must be a function, not a string.", () => defineService(any({ name, call: "a" }))],
    ["Service 'a': its `setup` must be a function, not an object.", () => defineService(any({ name, call, setup: {} }))],
    ["Service 'a' has no `preprocess` function.", () => defineInference(any({ name, model, postprocess: call }))],
    [
      "Service 'a': its `model` must be a function, not a string.",
      () => defineInference(any({ name, model: "./a.onnx", preprocess: call, postprocess: call })),
    ],
    ["Service 'a' has no `unbatch` function.", () => defineBatchable(any({ name, model, batch: call }))],
    ["The steps of a pipeline must be a list of services.", () => definePipeline(any({ name }))],
    ["The steps of a pipeline must be a list of services.", () => new PipelineService(any(Constant))],
    [
      `The input of service 'a' is not a Standard Schema. ${kinds} This is an object of schemas: make one of it, such as z.object({ … }).`,
      () => defineService({ name, call, input: any({ x: z.number() }) }),
    ],
    [
      `The output of service 'a' is not a Standard Schema. ${kinds} This is a JSON Schema, which nothing is checked by: give it as jsonSchema.output.`,
      () => defineService(any({ name, call, output: { type: "object" } })),
    ],
    [
      "The request handler of service 'a' must be an object such as new JsonHandler(), not a function; of a class, give an instance.",
      () => defineService({ name, call, request: any(BytesHandler) }),
    ],
    [
      "The response handler of service 'a' must be an object such as new JsonHandler(), not a string.",
      () => defineService({ name, call, response: any("text/csv") }),
    ],
    [
      "The request handler of service 'a' has no method `deserialize`.",
      () => defineService({ name, call, request: any({ mediaTypes: ["text/csv"] }) }),
    ],
    ["HttpRuntime needs the option 'services'.", () => serve(undefined)],
    ["The services to run must be a list: services: [double].", () => serve(echo)],
    [`${sources}; of a module give { module: "./double.ts" }.`, () => serve(["./double.ts"])],
    [`${sources}; this one is an instance: give its class.`, () => serve([new Constant()])],
    [`${sources}; this one is a function: give what defineService makes of it.`, () => serve([call])],
    ["Service 'uncallable': its class Uncallable has no method `call`.", () => serve([Uncallable])],
    ["A LoaderSpec needs the option 'module'.", () => new ServiceLoader(any({}))],
    ["ModelRepositoryServer needs the option 'repositories'.", () => new ModelRepositoryServer(any({ log }))],
    [
      "ModelRepositoryServer: its repositories must be a list of folders.",
      () => new ModelRepositoryServer({ repositories: any("./models"), log }),
    ],
    ["ModelHttpServer needs the option 'plane'.", () => new ModelHttpServer(any({ log }))],
    ["TritonModelServer needs the option 'artifact'.", () => new TritonModelServer(any({}))],
    ["The client speaks http: and https:, not localhost: Write the URL like http://127.0.0.1:3000.", () => createClient("localhost:3000")],
    [
      "The service gave nothing (is there a `return`?), which does not fit its own output schema.",
      () => defineService({ name, output: z.number(), call: any(() => undefined) }).call(1),
    ],
    ["There is nothing to test: give a service, or several by name.", () => callService(any(undefined), 1)],
    [
      "callService takes what defineService gives, not a class; call Constant as a client does: createTestRuntime(Constant).client.",
      () => callService(any(Constant), 1),
    ],
    [
      "callService takes what defineService gives, not an instance; call Constant as a client does: createTestRuntime(Constant).client.",
      () => callService(any(new Constant()), 1),
    ],
    ["callService takes what defineService gives, not a function.", () => callService(any(call), 1)],
    ["Service 'a' could not be set up: no model", () => callService(broken, 1)],
    ["This is an instance of Constant: give its class.", () => createTestRuntime(any(new Constant()))],
    [
      "Service itself answers nothing: extend it by a class with a method `call`, or use defineService.",
      () => (Reflect.construct(Service, []) as Constant).call(),
    ],
    [
      'TritonModelConfig takes an object with options, such as { name: "mlp", backend: "onnxruntime" }, not undefined.',
      () => new TritonModelConfig(any(undefined)),
    ],
    ['such as { name: "mlp", backend: "onnxruntime" }, not a string.', () => new TritonModelConfig(any("mlp"))],
    ["TritonModelConfig needs the option 'name'.", () => new TritonModelConfig(any({ backend: "onnxruntime" }))],
    [
      `Could not reach http://127.0.0.1:2: connect ECONNREFUSED 127.0.0.1:2. ${nobody}`,
      () => createClient<typeof echo>("http://127.0.0.1:2").echo(1),
    ],
    [
      `Could not reach http://127.0.0.1:2: connect ECONNREFUSED 127.0.0.1:2. ${nobody}`,
      () => new OpenInferenceClient("http://127.0.0.1:2").serverMetadata(),
    ],
    [nobody, () => new GrpcInferenceClient("grpc://127.0.0.1:2").serverMetadata({ retries: 0 })],
  ])("%s", async (message, make) => {
    await expect(Promise.resolve().then(make)).rejects.toMatchObject({
      name: "ServableError",
      message: expect.stringContaining(message) as unknown,
    });
  });

  test("a service is named once", async () => {
    await expect(serve([Uncallable])).rejects.toThrow(/^Service 'uncallable': its class Uncallable has no method `call`\.$/);
  });

  test("a class whose call is a field is none of them", async () => {
    const runtime = new HttpRuntime({ services: [Arrow], port: 0, log });
    await runtime.start();
    await runtime.stop();
  });
});
