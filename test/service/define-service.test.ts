import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { type ServableError } from "../../src/errors.ts";
import { defineService, definitionOf } from "../../src/service/define-service.ts";
import { isDefinition, type ServiceDefinition } from "../../src/service/definition.ts";
import type { RequestHandler, ResponseHandler } from "../../src/service/handlers/handler.ts";
import { streamOf } from "../../src/service/schema.ts";
import { Service, type CallResult, type Logger, type ServiceContext } from "../../src/service/service.ts";

type Types<D> = D extends ServiceDefinition<infer N, infer I, infer O, infer T> ? { name: N; input: I; output: O; wire: T } : never;
const asNumber: RequestHandler<number, Blob> = { mediaTypes: ["image/*"], deserialize: ({ body }) => body.byteLength };
const asText: ResponseHandler<string, Uint8Array> = { mediaTypes: ["audio/wav"], serialize: (value) => value };

describe("types", () => {
  test("a handler that is written in place needs no types of its own, and says what call gets", () => {
    const service = defineService({
      name: "rows",
      request: { mediaTypes: ["text/csv"], deserialize: (payload) => Buffer.from(payload.body).toString().split(",") },
      response: [{ mediaTypes: ["text/plain"], serialize: (value: number, { mediaType }) => `${mediaType} ${value}` }],
      call: (rows) => {
        expectTypeOf(rows).toEqualTypeOf<string[]>();
        return rows.length;
      },
    });
    expectTypeOf<Types<typeof service>["wire"]["input"]>().toEqualTypeOf<string[]>();
    expect(service.name).toBe("rows");
    defineService({
      name: "wrong",
      request: { mediaTypes: ["text/csv"], deserialize: ({ body }) => body.length },
      // @ts-expect-error a number is not of several
      call: (size) => size.length as unknown,
    });
    // @ts-expect-error these are no media types
    expect(() => defineService({ name: "wrong", request: { mediaTypes: 3, deserialize: () => 1 }, call: () => 1 })).toThrow(/media type/);
  });

  test("a service's follow from its schemas", () => {
    const double = defineService({
      name: "double",
      input: z.object({ x: z.number() }),
      output: z.object({ y: z.number() }),
      call: ({ x }) => {
        expectTypeOf(x).toEqualTypeOf<number>();
        return { y: 2 * x };
      },
    });
    type T = Types<typeof double>;
    expectTypeOf<T["name"]>().toEqualTypeOf<"double">();
    expectTypeOf<T["input"]>().toEqualTypeOf<{ x: number }>();
    expectTypeOf<T["wire"]["input"]>().toEqualTypeOf<{ x: number }>();
    expectTypeOf<T["wire"]["output"]>().toEqualTypeOf<{ y: number }>();
    expectTypeOf<T["wire"]["stream"]>().toEqualTypeOf<false>();
    expectTypeOf(double.call({ x: 1 })).toEqualTypeOf<Promise<{ y: number }>>();
  });

  test("what a client passes is before the input's transforms, what call gets after them; and the other way round for output", () => {
    const service = defineService({
      name: "transforming",
      input: z.object({ at: z.string().transform((text) => new Date(text)), count: z.number().default(3) }),
      output: z.object({ at: z.date().transform((date) => date.toISOString()) }),
      call: ({ at, count }) => {
        expectTypeOf(at).toEqualTypeOf<Date>();
        expectTypeOf(count).toEqualTypeOf<number>();
        return { at };
      },
    });
    expect(service.name).toBe("transforming");
    type T = Types<typeof service>["wire"];
    expectTypeOf<T["input"]>().toEqualTypeOf<{ at: string; count?: number | undefined }>();
    expectTypeOf<T["output"]>().toEqualTypeOf<{ at: string }>();
  });

  test("without schemas: what the handlers say, else unknown and what call gives", () => {
    const bare = defineService({
      name: "bare",
      call: (value) => {
        expectTypeOf(value).toEqualTypeOf<unknown>();
        return 1;
      },
    });
    expect(bare.name).toBe("bare");
    expectTypeOf<Types<typeof bare>["wire"]["output"]>().toEqualTypeOf<number>();
    const handled = defineService({
      name: "handled",
      request: asNumber,
      response: asText,
      call: (bytes) => {
        expectTypeOf(bytes).toEqualTypeOf<number>();
        return String(bytes);
      },
    });
    expect(handled.request).toEqual([asNumber]);
    type T = Types<typeof handled>["wire"];
    expectTypeOf<T["input"]>().toEqualTypeOf<Blob>();
    expectTypeOf<T["output"]>().toEqualTypeOf<Uint8Array>();
    // @ts-expect-error -- the response handler writes strings
    defineService({ name: "handled", response: asText, call: () => 1 });
  });

  test("what setup gives is the context's state, and close gets it", () => {
    defineService({
      name: "stateful",
      setup: ({ signal, log }) => {
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(log).toEqualTypeOf<Logger>();
        return Promise.resolve({ model: 1 });
      },
      call: (_value, { state, signal, deadline, requestId, metadata }) => {
        expectTypeOf(state).toEqualTypeOf<{ model: number }>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(deadline).toEqualTypeOf<number>();
        expectTypeOf(requestId).toEqualTypeOf<string>();
        expectTypeOf(metadata).toEqualTypeOf<Readonly<Record<string, string>>>();
        return state.model;
      },
      close: (state) => {
        expectTypeOf(state).toEqualTypeOf<{ model: number }>();
      },
    });
  });

  test("a stream is one, whichever way call gives it", () => {
    const count = defineService({
      name: "count",
      output: z.number(),
      async *call() {
        yield 1;
      },
    });
    expectTypeOf<Types<typeof count>["wire"]["stream"]>().toEqualTypeOf<true>();
    expectTypeOf<Types<typeof count>["wire"]["output"]>().toEqualTypeOf<number>();
    expectTypeOf(count.call(1)).toEqualTypeOf<AsyncIterable<number>>();
    const later = defineService({ name: "later", call: () => Promise.resolve(count.call(1)) });
    // Only the call will show it.
    expect(later.outputStream).toBeUndefined();
    expectTypeOf<Types<typeof later>["wire"]["stream"]>().toEqualTypeOf<true>();
    const total = defineService({
      name: "total",
      input: streamOf(z.object({ x: z.number() })),
      call: (items) => {
        expectTypeOf(items).toEqualTypeOf<AsyncIterable<{ x: number }>>();
        return 1;
      },
    });
    expect(total.inputStream).toBe(true);
    expectTypeOf<Types<typeof total>["wire"]["input"]>().toEqualTypeOf<AsyncIterable<{ x: number }>>();
  });

  test("a wrong output does not compile", () => {
    const output = z.object({ y: z.number() });
    // @ts-expect-error -- y must be a number
    defineService({ name: "wrong", output, call: () => ({ y: "1" }) });
    // @ts-expect-error -- y is missing
    defineService({ name: "wrong", output, call: () => ({}) });
    // @ts-expect-error -- y must be a number, promised too
    defineService({ name: "wrong", output, call: () => Promise.resolve({ y: "1" }) });
    const stream = async function* (): AsyncGenerator<{ y: string }> {
      yield await Promise.resolve({ y: "1" });
    };
    // @ts-expect-error -- y must be a number, also in a stream
    defineService({ name: "wrong", output, call: stream });
    // @ts-expect-error -- call is missing
    expect(() => defineService({ name: "wrong", output })).toThrow(/no `call` function/);
    // @ts-expect-error -- a name is needed
    expect(() => defineService({ output, call: () => ({ y: 1 }) })).toThrow(/name must be/);
  });
});

describe("a definition", () => {
  test("is frozen, branded, and full of defaults", () => {
    const definition = defineService({ name: "d", call: () => 1 });
    expect(isDefinition(definition)).toBe(true);
    expect(isDefinition({})).toBe(false);
    expect(Object.isFrozen(definition)).toBe(true);
    expect(Object.isFrozen(definition.policy)).toBe(true);
    expect(definition).toMatchObject({ validateOutput: true, model: false, inputStream: false, outputStream: undefined });
    expect(definition.request[0]?.mediaTypes[0]).toBe("application/json");
  });

  test.each(["a", "A-b_9", "x".repeat(63)])("may be named %s", (name) => {
    expect(defineService({ name, call: () => 1 }).name).toBe(name);
  });

  test.each(["", "1a", "a b", "a/b", "é", "x".repeat(64), "-a", "a.b", "__proto__"])("may not be named %j", (name) => {
    expect(() => defineService({ name, call: () => 1 })).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });

  test.each(["livez", "readyz", "startupz", "metrics", "tasks", "v2"])("may not be named %s, which is a route", (name) => {
    expect(() => defineService({ name, call: () => 1 })).toThrow(/reserved/);
  });

  test("refuses what is no schema, and a stream with handlers", () => {
    expect(() => defineService({ name: "d", input: { type: "object" } as never, call: () => 1 })).toThrow(
      /input of service 'd' is not a Standard Schema/,
    );
    expect(() => defineService({ name: "d", output: 1 as never, call: () => 1 as never })).toThrow(
      /output of service 'd' is not a Standard Schema/,
    );
    expect(() => defineService({ name: "d", input: streamOf(z.number()), request: asNumber, call: () => 1 })).toThrow(
      /can't have request handlers/,
    );
  });

  test("knows a generator before it runs", () => {
    expect(
      defineService({
        name: "d",
        async *call() {
          yield 1;
        },
      }).outputStream,
    ).toBe(true);
  });
});

describe("a class", () => {
  class Shout extends Service<string, string> {
    readonly #mark: string;
    constructor(mark = "!") {
      super();
      this.#mark = mark;
    }
    override call(text: string): string {
      return text.toUpperCase() + this.#mark;
    }
  }

  test("is a definition with its arguments, named by itself where it says nothing", async () => {
    const definition = definitionOf(Shout, ["?"]);
    expect(definition?.name).toBe("shout");
    expect(await definition?.call("a")).toBe("A?");
    expect(definitionOf(42)).toBeUndefined();
    expect(definitionOf(new Shout())).toBeUndefined();
    expect(definitionOf(definition)).toBe(definition);
  });

  test("says more of itself with a static definition", async () => {
    class Named extends Shout {
      static readonly definition = { name: "named", input: z.string().max(3), policy: { concurrency: 7 } } as const;
    }
    const definition = definitionOf(Named);
    expect(definition).toMatchObject({ name: "named", policy: { concurrency: 7 } });
    await expect(definition?.call("long text")).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("of another copy of the package is known, too", () => {
    const foreign = class {
      call(): number {
        return 1;
      }
    };
    Object.defineProperty(foreign.prototype, Symbol.for("servable.service"), { value: true });
    expect(definitionOf(foreign)?.name).toBe("foreign");
  });
});

describe("a bare call", () => {
  test("checks input and output, and sets the service up once", async () => {
    let setups = 0;
    const definition = defineService({
      name: "d",
      input: z.object({ x: z.number().default(1) }),
      output: z.number().max(10),
      setup: () => ++setups,
      call: ({ x }, { state }) => x + state,
    });
    expect(await Promise.all([definition.call({}), definition.call({ x: 2 })])).toEqual([2, 3]);
    expect(setups).toBe(1);
    await expect(definition.call({ x: 100 })).rejects.toMatchObject({ code: "invalid_output", stage: "validate" });
    // @ts-expect-error -- the type says so, too
    await expect(definition.call({ x: "1" })).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: ["x"] }] });
  });

  test("tries a setup that failed again", async () => {
    let setups = 0;
    const definition = defineService({
      name: "d",
      setup() {
        setups += 1;
        if (setups === 1) throw new Error("not yet");
      },
      call: () => "there",
    });
    await expect(definition.call(1)).rejects.toThrow("not yet");
    expect(await definition.call(1)).toBe("there");
  });

  test("gives a stream, and takes one, checked item by item", async () => {
    const doubled = defineService({
      name: "d",
      input: streamOf(z.object({ x: z.number().default(7) })),
      output: z.number(),
      async *call(items) {
        for await (const { x } of items) yield 2 * x;
      },
    });
    async function* source(...items: { x?: number }[]): AsyncGenerator<{ x?: number }> {
      for (const item of items) yield await Promise.resolve(item);
    }
    const seen: number[] = [];
    for await (const item of doubled.call(source({ x: 1 }, {}))) seen.push(item);
    expect(seen).toEqual([2, 14]);
    const bad = doubled.call(source({ x: 1 }, { x: "2" as never }));
    await expect(
      (async () => {
        for await (const item of bad) seen.push(item);
      })(),
    ).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: [1, "x"] }] });
    await expect(
      (async () => {
        for await (const item of doubled.call([1] as never)) seen.push(item);
      })(),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("has a context, of which everything may be taken out", async () => {
    const definition = defineService({
      name: "d",
      async call(_value, { signal, deadline, requestId, log, metadata, stage }: ServiceContext) {
        log.info("heard by nobody");
        return [signal.aborted, deadline, typeof requestId, { ...metadata }, await stage("s", () => Promise.resolve(3))];
      },
    });
    expect(await definition.call(1)).toEqual([false, Infinity, "string", {}, 3]);
    expect(
      await definition
        .call(1, { deadline: 5, metadata: { a: "b" }, signal: AbortSignal.abort() })
        .catch((thrown: unknown) => (thrown as ServableError).code),
    ).toBe("cancelled");
    expect(await definition.call(1, { deadline: 5, metadata: { a: "b" } })).toEqual([false, 5, "string", { a: "b" }, 3]);
  });

  test("takes promises that are not of the class Promise", async () => {
    const query = { then: (resolve: (value: number) => void) => setTimeout(() => resolve(5), 1) };
    const definition = defineService({
      name: "d",
      output: z.number(),
      call: () => query as unknown as CallResult<number> as Promise<number>,
    });
    expect(await definition.call(1)).toBe(5);
  });
});
