import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { BytesHandler, TextHandler, defineService } from "servable";
import { z } from "zod";

export const double = defineService({
  name: "double",
  example: { x: 1 },
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  call: ({ x }) => ({ y: 2 * x }),
});

export const hello = defineService({ name: "hello", call: () => "hello" });

export const where = defineService({ name: "where", call: () => ({ threadId }) });

export const count = defineService({
  name: "count",
  input: z.object({ to: z.number() }),
  async *call({ to }) {
    for (let i = 1; i <= to; i++) {
      if (i === 13) throw new Error("unlucky");
      yield { i };
    }
  },
});

export const shout = defineService({
  name: "shout",
  request: new TextHandler(),
  response: new TextHandler(),
  call: (text) => text.toUpperCase(),
});

export const reverse = defineService({
  name: "reverse",
  request: new BytesHandler(),
  response: new BytesHandler(),
  call: (bytes) => bytes.toReversed(),
});

export const headers = defineService({ name: "headers", call: (_, { metadata }) => metadata });

/** Says that it has begun, and answers when it is let go: no test has to guess how long anything takes. */
export const wait = defineService({
  name: "wait",
  input: z.object({ folder: z.string() }),
  async call({ folder }) {
    writeFileSync(join(folder, "begun"), "");
    while (!existsSync(join(folder, "go"))) await new Promise((resolve) => setTimeout(resolve, 20));
    return "done";
  },
});

/** Can't be ended but with its thread. */
export const spin = defineService({
  name: "spin",
  policy: { placement: "thread" },
  input: z.object({ folder: z.string() }),
  call({ folder }) {
    writeFileSync(join(folder, "begun"), "");
    for (;;);
  },
});

/** Throws where nobody can catch it. */
export const explode = defineService({
  name: "explode",
  call() {
    setImmediate(() => {
      throw new Error("out of reach");
    });
    return "lit";
  },
});

export const forget = defineService({
  name: "forget",
  call() {
    void Promise.reject(new Error("lost"));
    return "forgotten";
  },
});
