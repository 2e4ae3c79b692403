import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { CallContext } from "../../src/service/call-context.ts";
import { defineService } from "../../src/service/define-service.ts";
import type { ServiceDefinition } from "../../src/service/definition.ts";
import { PipelineService, definePipeline } from "../../src/service/pipeline-service.ts";
import { Service } from "../../src/service/service.ts";
import { ServableError } from "../../src/errors.ts";

class Trim extends Service<string, string> {
  override call(text: string): string {
    return text.trim();
  }
}
class Length extends Service<string, number> {
  override async call(text: string): Promise<number> {
    return Promise.resolve(text.length);
  }
}
class Repeat extends Service<string, string> {
  readonly #times: number;
  readonly #between: string;
  constructor(times: number, between = "") {
    super();
    this.#times = times;
    this.#between = between;
  }
  override call(text: string): string {
    return Array.from({ length: this.#times }, () => text).join(this.#between);
  }
}
const half = defineService({ name: "half", input: z.number(), output: z.object({ half: z.number() }), call: (n) => ({ half: n / 2 }) });

describe("steps that fit", () => {
  test("hand their answers on", async () => {
    const pipeline = new PipelineService([Trim, [Repeat, 3, "-"], Length, half]);
    expectTypeOf(pipeline).toExtend<Service<string, { half: number }>>();
    expect(await pipeline.call("  ab ", new CallContext())).toEqual({ half: 4 });
  });

  test("one alone is a pipeline, too", async () => {
    expect(await new PipelineService([[Repeat, 2]]).call("x", new CallContext())).toBe("xx");
  });

  test("are timed under their names", async () => {
    const context = new CallContext();
    await new PipelineService([Trim, Length, half]).call("a", context);
    expect(context.stages.map(({ stage }) => stage)).toEqual(["trim", "length", "half"]);
  });

  test("make a service of their own", async () => {
    const service = definePipeline({ name: "shout", input: z.string().min(1), output: z.number(), steps: [Trim, [Repeat, 2], Length] });
    expectTypeOf(service).toExtend<ServiceDefinition<"shout", string, number>>();
    expectTypeOf(service.call("a")).toEqualTypeOf<Promise<number>>();
    expect(await service.call(" abc ")).toBe(6);
    await expect(service.call("")).rejects.toMatchObject({ code: "invalid_request" });
    const bare = definePipeline({ name: "bare", steps: [Trim, Length] });
    expectTypeOf(bare.call).parameter(0).toEqualTypeOf<string>();
    expect(await bare.call("ab")).toBe(2);
  });

  test("may stream at the end", async () => {
    const letters = defineService({
      name: "letters",
      input: z.string(),
      async *call(text) {
        yield* text;
      },
    });
    const service = definePipeline({ name: "spell", steps: [Trim, letters] });
    const seen: unknown[] = [];
    for await (const item of service.call(" abc ")) seen.push(item);
    expect(seen).toEqual(["a", "b", "c"]);
  });
});

describe("steps that do not fit", () => {
  test("do not compile", () => {
    // @ts-expect-error -- Length gives a number, Trim takes a string
    new PipelineService([Length, Trim]);
    // @ts-expect-error -- half gives an object
    new PipelineService([Trim, Length, half, Length]);
    // @ts-expect-error -- the misfit is in the middle
    definePipeline({ name: "p", steps: [Trim, half, half] });
    // @ts-expect-error -- a definition takes no arguments
    new PipelineService([Trim, [Length], [half, 1]]);
  });

  test("nor do wrong arguments", () => {
    // @ts-expect-error -- times must be a number
    new PipelineService([[Repeat, "3"]]);
    // @ts-expect-error -- times is missing
    new PipelineService([[Repeat]]);
    // @ts-expect-error -- one argument too many
    new PipelineService([[Repeat, 3, "-", 4]]);
    // @ts-expect-error -- Trim takes none
    new PipelineService([[Trim, 1], Length]);
    // @ts-expect-error -- times is missing, also where the class stands alone
    new PipelineService([Trim, Repeat]);
  });

  test("are refused where there are none, or one is no service", () => {
    expect(() => new PipelineService([] as never)).toThrow(/at least one step/);
    expect(() => new PipelineService([Trim, 42] as never)).toThrow(/Step 2 of the pipeline is not a service/);
    expect(() => new PipelineService([Trim, [() => 1]] as never)).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });
});

describe("steps together", () => {
  const log: string[] = [];
  class Step extends Service<string, string> {
    readonly #name: string;
    readonly #how: string;
    constructor(name: string, how = "") {
      super();
      this.#name = name;
      this.#how = how;
    }
    override async setup(): Promise<void> {
      await Promise.resolve();
      log.push(`setup ${this.#name}`);
    }
    override call(text: string): string {
      log.push(`call ${this.#name}`);
      if (this.#how === "fail") throw new ServableError("not_found", "Nothing.");
      return text;
    }
    override close(): void {
      log.push(`close ${this.#name}`);
      if (this.#how === "fail to close") throw new Error(`can't close ${this.#name}`);
    }
  }

  test("are set up and closed, all of them, even if one fails", async () => {
    log.length = 0;
    const pipeline = new PipelineService([
      [Step, "a", "fail to close"],
      [Step, "b"],
      [Step, "c"],
    ]);
    const context = new CallContext();
    await pipeline.setup({ signal: context.signal, log: context.log });
    expect(log).toEqual(["setup a", "setup b", "setup c"]);
    await expect(pipeline.close()).rejects.toThrow("can't close a");
    expect(log.slice(3)).toEqual(["close a", "close b", "close c"]);
  });

  test("stop where one fails, and where the call is aborted", async () => {
    log.length = 0;
    const failing = new PipelineService([
      [Step, "a", "fail"],
      [Step, "b"],
    ]);
    await expect(failing.call("x", new CallContext())).rejects.toMatchObject({ code: "not_found" });
    expect(log).toEqual(["call a"]);
    log.length = 0;
    const context = new CallContext();
    const answering = new PipelineService([
      [Step, "a"],
      [Step, "b"],
    ]).call("x", context) as Promise<string>;
    context.abort(new ServableError("deadline_exceeded", "Late."));
    await expect(answering).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(log).toEqual(["call a"]);
  });
});

describe("steps that are definitions", () => {
  const triple = defineService({
    name: "triple",
    input: z.object({ x: z.number().default(7) }),
    output: z.object({ y: z.number() }),
    call: ({ x }) => ({ y: 3 * x }),
  });
  const show = defineService({ name: "show", input: z.object({ y: z.number() }), call: ({ y }) => `y is ${y}` });

  test("keep their schemas: defaults are filled, and what does not fit is the caller's mistake", async () => {
    const service = definePipeline({ name: "p", steps: [triple, show] });
    expect(await service.call({})).toBe("y is 21");
    // @ts-expect-error -- x is a number
    await expect(service.call({ x: "a" })).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: ["x"] }] });
    expect(service.inputJsonSchema).toMatchObject({ properties: { x: { type: "number" } } });
  });

  test("give the pipeline what it does not say itself", () => {
    const model = defineService({ name: "model", input: z.string(), model: true, call: (text) => text.length });
    const service = definePipeline({ name: "p", steps: [Trim, model] });
    expect(service.model).toBe(true);
    expect(definePipeline({ name: "p", steps: [triple] }).output).toBe(triple.output);
  });
});

describe("steps that stream in the middle", () => {
  class Letters extends Service<string, string> {
    override async *call(text: string): AsyncGenerator<string> {
      yield* text;
    }
  }
  class Count extends Service<AsyncIterable<string>, number> {
    override async call(items: AsyncIterable<string>): Promise<number> {
      let count = 0;
      for await (const _item of items) count += 1;
      return count;
    }
  }

  test("fit a step that takes a stream, and no other", async () => {
    expect(await new PipelineService([Letters, Count]).call("abc", new CallContext())).toBe(3);
    // @ts-expect-error -- Trim takes a string, not a stream of them
    new PipelineService([Letters, Trim]);
    // @ts-expect-error -- a pipeline has steps
    expect(() => new PipelineService([])).toThrow("at least one step");
  });
});

test("a step that can't be set up closes those that could", async () => {
  const events: string[] = [];
  class Opens extends Service<string, string> {
    override setup(): void {
      events.push("opened");
    }
    override call(text: string): string {
      return text;
    }
    override close(): void {
      events.push("closed");
    }
  }
  class Fails extends Opens {
    override setup(): void {
      throw new Error("no model");
    }
  }
  const setup = new PipelineService([Opens, Fails]).setup({ signal: new AbortController().signal, log: console });
  await expect(setup).rejects.toThrow("no model");
  expect(events).toEqual(["opened", "closed"]);
});
