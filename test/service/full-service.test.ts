import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ServableError } from "../../src/errors.ts";
import { CallContext } from "../../src/service/call-context.ts";
import { defineService } from "../../src/service/define-service.ts";
import type { RequestHandler, ResponseHandler } from "../../src/service/handlers/handler.ts";
import { FullService, JsonService, type EncodedRequest, type EncodedResponse } from "../../src/service/full-service.ts";
import { streamOf } from "../../src/service/schema.ts";
import { Service, type CallResult } from "../../src/service/service.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const json = (text: string): EncodedRequest => ({ contentType: "application/json", body: bytes(text) });
type Definition = ReturnType<typeof defineService>;

async function run(definition: unknown, request: EncodedRequest = json("1"), context = new CallContext()): Promise<EncodedResponse> {
  const known = definition as Definition;
  const service = new FullService(known.create(), known);
  await service.setup({ signal: context.signal, log: context.log });
  return service.call(request, context);
}
async function failure(definition: unknown, request?: EncodedRequest, context?: CallContext): Promise<ServableError> {
  const thrown: unknown = await run(definition, request, context).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!ServableError.isInstance(thrown)) throw new Error("it did not fail as it should", { cause: thrown });
  return thrown;
}
async function collect(response: EncodedResponse): Promise<unknown[]> {
  if (response.kind !== "stream") throw new Error("not a stream");
  const items: unknown[] = [];
  for await (const item of response.items) items.push(item);
  return items;
}
function thrower(thrown: unknown): () => never {
  return () => {
    throw thrown;
  };
}

const things: [string, unknown][] = [
  ["an Error", new Error("x")],
  ["a text", "x"],
  ["undefined", undefined],
  ["null", null],
  ["a number", 0],
  ["an object without a prototype", Object.create(null)],
];

describe("each stage fails in its own way", () => {
  test.each(things)("deserialize, by throwing %s", async (_name, thrown) => {
    const request: RequestHandler = { mediaTypes: ["application/json"], deserialize: thrower(thrown) };
    expect(await failure(defineService({ name: "d", request, call: () => 1 }))).toMatchObject({
      code: "invalid_request",
      stage: "deserialize",
    });
  });

  test("validate input", async () => {
    const error = await failure(
      defineService({ name: "d", input: z.object({ a: z.array(z.string()) }), call: () => 1 }),
      json('{"a":["x",2]}'),
    );
    expect(error).toMatchObject({ code: "invalid_request", stage: "validate", issues: [{ path: ["a", 1] }] });
  });

  test.each(things)("call, by throwing %s", async (_name, thrown) => {
    expect(await failure(defineService({ name: "d", call: thrower(thrown) }))).toMatchObject({ code: "service_failed", stage: "call" });
    const later = defineService({
      name: "d",
      call: async () => {
        await Promise.resolve();
        throw thrown;
      },
    });
    expect(await failure(later)).toMatchObject({ code: "service_failed", stage: "call" });
  });

  test("validate output, unless that is switched off", async () => {
    const options = { name: "d", output: z.object({ a: z.number() }), call: () => ({ a: "1" }) as never };
    expect(await failure(defineService(options))).toMatchObject({ code: "invalid_output", stage: "validate", issues: [{ path: ["a"] }] });
    expect(await run(defineService({ ...options, validateOutput: false }))).toMatchObject({ body: '{"a":"1"}' });
  });

  test.each(things)("serialize, by throwing %s", async (_name, thrown) => {
    const response: ResponseHandler = { mediaTypes: ["application/json"], serialize: thrower(thrown) };
    expect(await failure(defineService({ name: "d", response, call: () => 1 }))).toMatchObject({
      code: "serialization_failed",
      stage: "serialize",
    });
    const later: ResponseHandler = {
      mediaTypes: ["application/json"],
      serialize: async () => {
        await Promise.resolve();
        throw thrown;
      },
    };
    expect(await failure(defineService({ name: "d", response: later, call: () => 1 }))).toMatchObject({
      code: "serialization_failed",
      stage: "serialize",
    });
  });

  test.each([undefined, null, 5, {}, new ArrayBuffer(2), [1]])("serialize, by giving %s", async (given) => {
    const response: ResponseHandler = { mediaTypes: ["application/json"], serialize: () => given as never };
    expect(await failure(defineService({ name: "d", response, call: () => 1 }))).toMatchObject({
      code: "serialization_failed",
      stage: "serialize",
    });
  });

  test("a code that a service chose is kept, one of the inside is not", async () => {
    for (const code of ["not_found", "invalid_request", "overloaded", "unauthenticated", "worker_crashed"] as const) {
      expect((await failure(defineService({ name: "d", call: thrower(new ServableError(code, "M.")) }))).code).toBe(code);
    }
    for (const code of ["internal", "invalid_config", "load_failed", "address_in_use"] as const) {
      const error = await failure(defineService({ name: "d", call: thrower(new ServableError(code, "M.")) }));
      expect(error).toMatchObject({ code: "service_failed", stage: "call" });
      expect(error.cause).toMatchObject({ code });
    }
  });

  test("a recursion without end in a schema is a value nested too deeply; in a service it is the service's", async () => {
    const recurse = (): never => recurse();
    const schema = { "~standard": { version: 1, vendor: "mine", validate: recurse } } as const;
    expect(await failure(defineService({ name: "d", input: schema, call: () => 1 }))).toMatchObject({
      code: "invalid_request",
      message: "The value is nested too deeply.",
    });
    expect(await failure(defineService({ name: "d", call: recurse }))).toMatchObject({ code: "service_failed" });
  });

  test("an abort that comes out as an exception keeps its reason", async () => {
    for (const thrown of [
      new DOMException("x", "AbortError"),
      new DOMException("x", "TimeoutError"),
      new ServableError("internal", "M."),
    ]) {
      const context = new CallContext();
      const definition = defineService({
        name: "d",
        call() {
          context.abort(new ServableError("deadline_exceeded", "Late."));
          throw thrown;
        },
      });
      expect((await failure(definition, json("1"), context)).code).toBe("deadline_exceeded");
    }
    const context = new CallContext();
    const definition = defineService({
      name: "d",
      call() {
        context.abort(new ServableError("deadline_exceeded", "Late."));
        throw new TypeError("a mistake all the same");
      },
    });
    expect((await failure(definition, json("1"), context)).code).toBe("service_failed");
  });

  test("a call that was aborted before is not made", async () => {
    const context = new CallContext();
    context.abort(new ServableError("cancelled", "Gone."));
    let called = false;
    const definition = defineService({ name: "d", call: () => (called = true) });
    expect((await failure(definition, json("1"), context)).code).toBe("cancelled");
    expect(called).toBe(false);
  });
});

describe("whose fault it is", () => {
  test("a code that is the operator's business is no fault of the client, at whichever stage", async () => {
    const missing = thrower(new ServableError("missing_dependency", "npm install sharp"));
    const request: RequestHandler = { mediaTypes: ["application/json"], deserialize: missing };
    const error = await failure(defineService({ name: "d", request, call: () => 1 }));
    expect(error).toMatchObject({ code: "service_failed", stage: "deserialize", cause: { code: "missing_dependency" } });
  });

  test("what another server said of another request is not said of this one", async () => {
    const elsewhere = thrower(new ServableError("not_found", "There is no service 'x'.", { requestId: "theirs" }));
    const context = new CallContext({ requestId: "ours" });
    expect(await failure(defineService({ name: "d", call: elsewhere }), json("1"), context)).toMatchObject({ code: "service_failed" });
    const own = thrower(new ServableError("not_found", "No voice.", { requestId: "ours" }));
    expect(await failure(defineService({ name: "d", call: own }), json("1"), context)).toMatchObject({ code: "not_found" });
  });

  test("an error that a service keeps and throws again is left as it is", async () => {
    const kept = Object.freeze(new ServableError("not_found", "No voice."));
    const definition = defineService({ name: "d", call: thrower(kept) });
    expect(await failure(definition)).toMatchObject({ code: "not_found", stage: "call" });
    expect(kept.stage).toBeUndefined();
  });

  test("a stage that fails is timed, too", async () => {
    const context = new CallContext();
    await failure(defineService({ name: "d", call: thrower(new Error("x")) }), json("1"), context);
    expect(context.stages.map(({ stage }) => stage)).toEqual(["deserialize", "call"]);
  });
});

describe("what goes through", () => {
  test("bytes in, text out, each stage timed", async () => {
    const context = new CallContext();
    const response = await run(
      defineService({ name: "d", input: z.number(), output: z.number(), call: (x) => x + 1 }),
      json("41"),
      context,
    );
    expect(response).toEqual({ kind: "value", mediaType: "application/json", body: "42" });
    expect(context.stages.map(({ stage }) => stage)).toEqual(["deserialize", "validate", "call", "validate", "serialize"]);
    expect(context.stages.every(({ ms }) => ms >= 0)).toBe(true);
  });

  test("a call that never waits needs no promise", () => {
    const definition = defineService({ name: "d", input: z.number(), call: (x) => x + 1 }) as unknown as Definition;
    expect(new FullService(definition.create(), definition).call(json("1"), new CallContext())).toMatchObject({ body: "2" });
  });

  test("handlers are chosen by type, and know the type and the signal", async () => {
    const seen: unknown[] = [];
    const request: RequestHandler<string>[] = ["text/a", "text/b"].map((type) => ({
      mediaTypes: [type],
      deserialize: ({ body }, { signal }) => {
        seen.push(signal.aborted);
        return `${type} ${new TextDecoder().decode(body)}`;
      },
    }));
    const response: ResponseHandler = {
      mediaTypes: ["text/x", "text/y"],
      serialize: (value, { mediaType }) => bytes(`${String(value)} as ${mediaType}`),
    };
    const definition = defineService({ name: "d", request, response, call: (value) => value });
    const decode = (answer: EncodedResponse): string => new TextDecoder().decode((answer as { body: Uint8Array }).body);
    expect(decode(await run(definition, { contentType: "text/b; x=1", body: bytes("1") }))).toBe("text/b 1 as text/x");
    expect(decode(await run(definition, { contentType: undefined, body: bytes("1"), responseType: "text/y" }))).toBe("text/a 1 as text/y");
    expect(seen).toEqual([false, false]);
    expect((await failure(definition, { contentType: "text/c", body: bytes("1") })).code).toBe("unsupported_media_type");
    expect((await failure(definition, { contentType: "text/a", body: bytes("1"), responseType: "text/z" })).code).toBe("not_acceptable");
  });

  test("a stream is checked and written item by item, and a failure says where", async () => {
    const definition = defineService({
      name: "d",
      output: z.number().max(2),
      async *call(to) {
        for (let n = 1; n <= Number(to); n += 1) yield n;
      },
    });
    expect(await collect(await run(definition, json("2")))).toEqual(["1", "2"]);
    await expect(collect(await run(definition, json("3")))).rejects.toMatchObject({ code: "invalid_output", stage: "validate" });
    const unwritable = defineService({
      name: "d",
      async *call() {
        yield 1;
        yield NaN;
      },
    });
    await expect(collect(await run(unwritable))).rejects.toMatchObject({ code: "serialization_failed", stage: "serialize" });
  });

  test("leaving a stream early ends the service's own", async () => {
    let ended = false;
    const definition = defineService({
      name: "d",
      async *call() {
        try {
          for (;;) yield await Promise.resolve(1);
        } finally {
          ended = true;
        }
      },
    });
    const response = await run(definition);
    if (response.kind !== "stream") throw new Error("not a stream");
    for await (const _ of response.items) break;
    expect(ended).toBe(true);
  });

  test("a stream comes in, whole or in pieces, and stops with the call", async () => {
    const definition = defineService({
      name: "d",
      input: streamOf(z.number()),
      async call(items) {
        let sum = 0;
        for await (const item of items) sum += item;
        return sum;
      },
    });
    const pieces = (...parts: string[]): AsyncIterable<Uint8Array> => ReadableStream.from(parts.map(bytes));
    expect(await run(definition, { contentType: "application/x-ndjson", body: bytes("1\n2\n") })).toMatchObject({ body: "3" });
    expect(await run(definition, { contentType: "application/x-ndjson", body: pieces("1", "0\n", "\n5") })).toMatchObject({ body: "15" });
    expect(await failure(definition, { contentType: "application/x-ndjson", body: pieces("1\n", '"x"\n') })).toMatchObject({
      code: "invalid_request",
      stage: "validate",
      issues: [{ path: [1] }],
    });
    const context = new CallContext();
    const silent = new ReadableStream({ start: (controller) => controller.enqueue(bytes("1\n")) }) as unknown as AsyncIterable<Uint8Array>;
    const answering = failure(definition, { contentType: "application/x-ndjson", body: silent }, context);
    setTimeout(() => {
      context.abort(new ServableError("deadline_exceeded", "Late."));
    }, 5);
    expect((await answering).code).toBe("deadline_exceeded");
  });

  test("one value is not a stream", async () => {
    const body = ReadableStream.from([bytes("1")]) as unknown as AsyncIterable<Uint8Array>;
    expect((await failure(defineService({ name: "d", call: () => 1 }), { contentType: "application/json", body })).code).toBe(
      "invalid_request",
    );
  });

  test("setup and close reach the service", async () => {
    const steps: string[] = [];
    class Steps extends Service {
      override setup(): void {
        steps.push("setup");
      }
      override call(): number {
        return 1;
      }
      override close(): void {
        steps.push("close");
      }
    }
    const service = new JsonService(new Steps());
    const context = new CallContext();
    await service.setup({ signal: context.signal, log: context.log });
    await service.close();
    expect(steps).toEqual(["setup", "close"]);
  });
});

test("JsonService is JSON in and JSON out, with checks if they are given", async () => {
  class Twice extends Service<number, number> {
    override call(x: number): CallResult<number> {
      return 2 * x;
    }
  }
  const context = (): CallContext => new CallContext();
  expect(new JsonService(new Twice()).call(json("4"), context())).toMatchObject({ body: "8", mediaType: "application/json" });
  expect(() => new JsonService(new Twice(), { input: z.number() }).call(json('"4"'), context())).toThrow(
    expect.objectContaining({ code: "invalid_request" }),
  );
  expect(() => new JsonService(new Twice(), { output: z.string() }).call(json("4"), context())).toThrow(
    expect.objectContaining({ code: "invalid_output" }),
  );
  expect(new JsonService(new Twice(), { output: z.string(), validateOutput: false }).call(json("4"), context())).toMatchObject({
    body: "8",
  });
});
