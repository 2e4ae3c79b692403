import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { defineService } from "../../src/service/define-service.ts";
import type { ServiceDefinition } from "../../src/service/definition.ts";
import { isSchema, jsonSchemaOf, validate, type Schema } from "../../src/service/schema.ts";

const services = {
  zod: defineService({
    name: "sum",
    input: z.object({ a: z.number(), list: z.array(z.object({ b: z.number() })) }),
    output: z.object({ sum: z.number() }),
    call: ({ a, list }) => ({ sum: list.reduce((sum, { b }) => sum + b, a) }),
  }),
  valibot: defineService({
    name: "sum",
    input: v.object({ a: v.number(), list: v.array(v.object({ b: v.number() })) }),
    output: v.object({ sum: v.number() }),
    call: ({ a, list }) => ({ sum: list.reduce((sum, { b }) => sum + b, a) }),
  }),
  arktype: defineService({
    name: "sum",
    input: type({ a: "number", list: type({ b: "number" }).array() }),
    output: type({ sum: "number" }),
    call: ({ a, list }) => ({ sum: list.reduce((sum, { b }) => sum + b, a) }),
  }),
};
type Sum = ServiceDefinition<"sum", { a: number; list: { b: number }[] }, { sum: number }>;

describe.each(Object.entries(services))("%s", (library, service) => {
  const definition = service as unknown as Sum;

  test("checks and types", async () => {
    expect(await definition.call({ a: 1, list: [{ b: 2 }, { b: 3 }] })).toEqual({ sum: 6 });
  });

  test("names each failing field by its path", async () => {
    const error: unknown = await definition.call({ a: "1", list: [{ b: 1 }, { b: null }] }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "invalid_request", stage: "validate" });
    const { issues } = error as { issues: { path: unknown[]; message: string }[] };
    expect(issues.map(({ path }) => path)).toEqual([["a"], ["list", 1, "b"]]);
    for (const { message } of issues) expect(message).not.toBe("");
  });

  test("becomes JSON Schema where it can tell it of itself", () => {
    if (library === "valibot") {
      // Its JSON Schema lives in a package of its own.
      expect(definition.inputJsonSchema).toBeUndefined();
      return;
    }
    expect(definition.inputJsonSchema).toMatchObject({
      type: "object",
      required: ["a", "list"],
      properties: { a: { type: "number" }, list: { type: "array", items: { type: "object", properties: { b: { type: "number" } } } } },
    });
    expect(definition.inputJsonSchema).not.toHaveProperty("$schema");
    expect(definition.outputJsonSchema).toMatchObject({ type: "object", properties: { sum: { type: "number" } } });
  });
});

test("each library's types are understood", () => {
  type Input<D> = D extends ServiceDefinition<string, infer I> ? I : never;
  expectTypeOf<Input<typeof services.zod>>().toEqualTypeOf<{ a: number; list: { b: number }[] }>();
  expectTypeOf<Input<typeof services.valibot>>().toEqualTypeOf<{ a: number; list: { b: number }[] }>();
  expectTypeOf<Input<typeof services.arktype>>().toEqualTypeOf<{ a: number; list: { b: number }[] }>();
});

describe("JSON Schema", () => {
  test("is the schema's own, else the one by hand, else none", () => {
    const byHand = { type: "string", pattern: "x" };
    expect(jsonSchemaOf(z.string(), "input", byHand)).toEqual({ type: "string" });
    expect(jsonSchemaOf(z.instanceof(Date), "input", byHand)).toBe(byHand);
    expect(jsonSchemaOf(undefined, "input", byHand)).toBe(byHand);
    expect(jsonSchemaOf(z.transform(String), "output", undefined)).toBeUndefined();
    expect(jsonSchemaOf(z.instanceof(Date), "input", undefined)).toBeUndefined();
    expect(jsonSchemaOf(undefined, "input", undefined)).toBeUndefined();
  });

  test("is what goes over the wire: before the input's transforms, after the output's", () => {
    const schema = z.object({ n: z.string().default("x") });
    expect(jsonSchemaOf(schema, "input", undefined)).not.toHaveProperty("required");
    expect(jsonSchemaOf(schema, "output", undefined)).toMatchObject({ required: ["n"] });
  });
});

describe("a schema of one's own", () => {
  const own = (run: StandardSchemaV1.Props["validate"]): Schema => ({ "~standard": { version: 1, vendor: "mine", validate: run } });
  const context = { requestId: "r" };
  const call = (input: Schema): Promise<unknown> => defineService({ name: "d", input, call: (value) => value }).call(1, context);

  test("may take its time", async () => {
    const slow = own(async (value) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return value === 1 ? { value: "one" } : { issues: [{ message: "not one" }] };
    });
    expect(await call(slow)).toBe("one");
    await expect(Promise.resolve(validate(slow, 2, "input"))).rejects.toMatchObject({
      code: "invalid_request",
      issues: [{ path: [], message: "not one" }],
    });
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("the schema's own mistake");
      },
    ],
    ["rejects", () => Promise.reject(new Error("the schema's own mistake"))],
    [
      "throws a text",
      () => {
        throw "text";
      },
    ],
  ])("that %s is the service's fault, not the client's", async (_name, run) => {
    await expect(call(own(run as () => never))).rejects.toMatchObject({ code: "service_failed", stage: "validate" });
  });

  test("may name its path by objects, symbols and texts", () => {
    const schema = own(() => ({ issues: [{ message: "m", path: [{ key: "a" }, 0, Symbol("s"), "b.c"] }] }));
    expect(() => validate(schema, 1, "input")).toThrow(
      expect.objectContaining({ issues: [{ path: ["a", 0, "Symbol(s)", "b.c"], message: "m" }] }),
    );
  });

  test("may be a function", () => {
    expect(isSchema(type("string"))).toBe(true);
    expect([isSchema(null), isSchema({}), isSchema(() => 1)]).toEqual([false, false, false]);
  });
});
