/** A word that no options have is an error that names it: plain JavaScript has no compiler to say so. */
import { Service, defineBatchable, defineInference, definePipeline, defineService } from "servable";
import { createClient } from "servable/client";
import { GrpcRuntime } from "servable/grpc";
import { HttpRuntime, fetchHandler } from "servable/http";
import { OfflineRuntime } from "servable/offline";
import { loadOnnxModel } from "servable/onnx";
import { describe, expect, test } from "vitest";
import { keepLog } from "../support/serving.ts";

const call = (value: unknown): unknown => value;
const echo = defineService({ name: "echo", call });
const model = (): never => {
  throw new Error("never loaded");
};
/** What a compiler would not let through. */
const words = (options: object): never => options as never;

class Odd extends Service {
  static readonly definition = words({ name: "odd", polisy: {} });
  override call(): number {
    return 1;
  }
}

const cases: readonly (readonly [what: string, make: () => unknown, message: string])[] = [
  ["a service", () => defineService(words({ name: "a", call, ouput: 1 })), "Service 'a' has no option 'ouput'; did you mean 'output'?"],
  [
    "a limit beside the policy",
    () => defineService(words({ name: "a", call, deadlineMs: 5 })),
    "Service 'a' has no option 'deadlineMs'; did you mean 'policy.deadlineMs'?",
  ],
  [
    "a policy",
    () => defineService({ name: "a", call, policy: words({ concurency: 5 }) }),
    "Service 'a': its policy has no option 'concurency'; did you mean 'concurrency'?",
  ],
  [
    "a batch size beside the batching",
    () => defineService({ name: "a", call, policy: words({ maxRows: 5 }) }),
    "Service 'a': its policy has no option 'maxRows'; did you mean 'batching.maxRows'?",
  ],
  [
    "batching",
    () => defineInference(words({ name: "a", model, preprocess: call, postprocess: call, policy: { batching: { maxBatchSize: 5 } } })),
    "Service 'a': its policy.batching has no option 'maxBatchSize'. There is: maxRows, maxDelayMs, waitAlone, preferredRows.",
  ],
  [
    "stages",
    () => defineInference(words({ name: "a", model, preprocess: call, postprocess: call, policy: { stages: { worker: 2 } } })),
    "Service 'a': its policy.stages has no option 'worker'; did you mean 'workers'?",
  ],
  [
    "an inference service",
    () => defineInference(words({ name: "a", model, preproces: call, postprocess: call })),
    "Service 'a' has no option 'preproces'; did you mean 'preprocess'?",
  ],
  [
    "a batchable service",
    () => defineBatchable(words({ name: "a", model, batch: call, unbatch: call, row: call })),
    "Service 'a' has no option 'row'; did you mean 'rows'?",
  ],
  ["a pipeline", () => definePipeline(words({ name: "a", step: [echo] })), "Service 'a' has no option 'step'; did you mean 'steps'?"],
  ["HttpRuntime", () => new HttpRuntime(words({ services: [echo], prot: 1 })), "HttpRuntime has no option 'prot'; did you mean 'port'?"],
  [
    "GrpcRuntime",
    () => new GrpcRuntime(words({ services: [echo], maxMessageByte: 1 })),
    "GrpcRuntime has no option 'maxMessageByte'; did you mean 'maxMessageBytes'?",
  ],
  [
    "OfflineRuntime",
    () => new OfflineRuntime(words({ service: echo, input: "a", ouput: "b" })),
    "OfflineRuntime has no option 'ouput'; did you mean 'output'?",
  ],
  [
    "fetchHandler",
    () => fetchHandler(echo, words({ base: "/x" })),
    "fetchHandler has no option 'base'. There is: basePath, log, observers.",
  ],
  [
    "createClient",
    () => createClient("http://127.0.0.1:1", words({ timeout: 1 })),
    "createClient has no option 'timeout'; did you mean 'timeoutMs'?",
  ],
];

describe("an unknown word is refused and named:", () => {
  test.each(cases)("%s", (_what, make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: "invalid_config", message }));
  });

  test("a model's options", async () => {
    await expect(loadOnnxModel("./a.onnx", words({ intraOpThread: 1 }))).rejects.toMatchObject({
      code: "invalid_config",
      message: "The model 'a' has no option 'intraOpThread'; did you mean 'intraOpThreads'?",
    });
  });

  test.each([
    ["a class of services", Odd, "Service 'odd' has no option 'polisy'; did you mean 'policy'?"],
    [
      "a policy over a service's own",
      { service: echo, policy: words({ queu: 1 }) },
      "Service 'echo': its policy has no option 'queu'; did you mean 'queue'?",
    ],
  ])("%s", async (_what, source, message) => {
    const started = new HttpRuntime({ services: [source], port: 0, log: keepLog() }).start();
    await expect(started).rejects.toMatchObject({ code: "invalid_config", message });
  });
});

test("what is left undefined is no word", () => {
  expect(defineService(words({ name: "a", call, nothing: undefined })).name).toBe("a");
});

describe("a media type that no header can carry is refused", () => {
  test.each([[["text/x\r\ny: z"]], [["text/ä"]], [["text"]], [["/x"]], [[1]], [[]], ["text/csv"]])("%j", (mediaTypes) => {
    const response = words({ mediaTypes, serialize: String });
    expect(() => defineService({ name: "a", response, call })).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });

  test("others, with parameters and patterns, are not", () => {
    const request = { mediaTypes: ["image/*", "text/csv; charset=utf-8", "application/vnd.x+json"], deserialize: () => 1 };
    expect(defineService({ name: "a", request, call }).request).toEqual([request]);
  });
});
