import { expect, expectTypeOf, test } from "vitest";
import { createClient, type BatchResult, type CallOptions, type Client, type DynamicMethod } from "../../src/client.ts";
import type { ServiceDefinition } from "../../src/service/definition.ts";
import type { double, Shout, Ticks } from "./services.ts";

type Module = typeof import("./services.ts");
const client = createClient<Module>("http://127.0.0.1:3000");

test("a definition gives one method under its literal name", () => {
  type DoubleClient = Client<typeof double>;
  expectTypeOf<keyof DoubleClient>().toEqualTypeOf<"double">();
  expectTypeOf<DoubleClient["double"]>().parameters.toEqualTypeOf<[input: { x: number }, options?: CallOptions | undefined]>();
  expectTypeOf<DoubleClient["double"]>().returns.toEqualTypeOf<Promise<{ y: number }>>();
  expectTypeOf<DoubleClient["double"]["batch"]>().returns.toEqualTypeOf<Promise<BatchResult<{ y: number }>[]>>();
});

test("a class gives its types: of its schemas, else of its call", () => {
  type ShoutClient = Client<typeof Shout>;
  expectTypeOf<keyof ShoutClient>().toEqualTypeOf<"shout">();
  expectTypeOf<ShoutClient["shout"]>().parameters.toEqualTypeOf<[input: string, options?: CallOptions | undefined]>();
  expectTypeOf<ShoutClient["shout"]>().returns.toEqualTypeOf<Promise<string>>();

  type TicksClient = Client<typeof Ticks>;
  expectTypeOf<TicksClient["ticks"]>().parameters.toEqualTypeOf<[input: { every: string }, options?: CallOptions | undefined]>();
  expectTypeOf<TicksClient["ticks"]>().returns.toEqualTypeOf<AsyncIterable<string>>();
});

test("a module gives a method for each of its services and ignores its other exports", () => {
  expectTypeOf<keyof Client<Module>>().toEqualTypeOf<"double" | "count" | "total" | "my-service" | "size" | "shout" | "ticks">();
  expectTypeOf(client["my-service"]).returns.toEqualTypeOf<Promise<number>>();
  expectTypeOf(client.count).returns.toEqualTypeOf<AsyncIterable<{ n: number }>>();
  expectTypeOf(client.count).parameter(0).toEqualTypeOf<{ to?: number | undefined }>();
  expectTypeOf(client.count.batch).returns.toEqualTypeOf<Promise<BatchResult<{ n: number }[]>[]>>();
  expectTypeOf(client.total).parameter(0).toEqualTypeOf<AsyncIterable<{ x: number }>>();
  expectTypeOf(client.total).returns.toEqualTypeOf<Promise<{ sum: number }>>();
  expectTypeOf(client.size).parameter(0).toEqualTypeOf<Blob>();
});

test("a definition of unknown types gives methods that take and give anything", () => {
  expectTypeOf<Client<ServiceDefinition>>().toEqualTypeOf<Readonly<Record<string, DynamicMethod<unknown, unknown>>>>();
});

test("wrong uses don't compile", () => {
  const wrong = (): unknown[] => [
    // @ts-expect-error -- x is a number
    client.double({ x: "1" }),
    // @ts-expect-error -- the input is missing
    client.double(),
    // @ts-expect-error -- there is no such service
    client.triple({ x: 1 }),
    // @ts-expect-error -- every item has the input's type
    client.double.batch([{ x: 1 }, { z: 1 }]),
    // @ts-expect-error -- an option that does not exist
    client.double({ x: 1 }, { timeout: 5 }),
    // @ts-expect-error -- a client without a type has no methods
    createClient("http://127.0.0.1:3000").double({ x: 1 }),
  ];
  expect(wrong).toBeTypeOf("function");
});

test("a batch's result tells output from error", () => {
  const outputOf = (result: BatchResult<{ y: number }>): number | string => {
    if (result.error === undefined) {
      expectTypeOf(result.output).toEqualTypeOf<{ y: number }>();
      return result.output.y;
    }
    expectTypeOf(result.output).toEqualTypeOf<undefined>();
    return result.error.code;
  };
  expect(outputOf({ output: { y: 2 } })).toBe(2);
});
