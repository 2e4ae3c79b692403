/** Services as a client's author would have them: the client's tests use their types, and never run them. */
import { z } from "zod";
import { defineService } from "../../src/service/define-service.ts";
import type { RequestHandler } from "../../src/service/handlers/handler.ts";
import { streamOf } from "../../src/service/schema.ts";
import { Service } from "../../src/service/service.ts";

export const double = defineService({
  name: "double",
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  call: ({ x }) => ({ y: 2 * x }),
});

export const count = defineService({
  name: "count",
  input: z.object({ to: z.number().default(3) }),
  output: z.object({ n: z.number() }),
  async *call({ to }) {
    for (let n = 1; n <= to; n++) yield { n };
  },
});

export const total = defineService({
  name: "total",
  input: streamOf(z.object({ x: z.number() })),
  output: z.object({ sum: z.number() }),
  async call(items) {
    let sum = 0;
    for await (const { x } of items) sum += x;
    return { sum };
  },
});

export const hyphenated = defineService({ name: "my-service", input: z.string(), call: (text) => text.length });

const imageSize: RequestHandler<number, Blob> = { mediaTypes: ["image/*"], deserialize: ({ body }) => body.byteLength };
export const size = defineService({ name: "size", request: imageSize, call: (bytes) => bytes });

export class Shout extends Service<string, string> {
  static readonly definition = { name: "shout" } as const;
  override call(text: string): string {
    return text.toUpperCase();
  }
}

export class Ticks extends Service<{ readonly every: number }, Date> {
  static readonly definition = { name: "ticks", input: z.object({ every: z.coerce.number<string>() }), output: z.iso.datetime() } as const;
  readonly #start: Date;
  constructor(start: Date) {
    super();
    this.#start = start;
  }
  override async *call(): AsyncGenerator<Date> {
    yield this.#start;
  }
}

export const notAService = 42;
export const name = "a module may export this";
export function create(): string {
  return name;
}
