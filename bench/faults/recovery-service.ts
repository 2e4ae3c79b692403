import { defineService } from "servable";
import { z } from "zod";

/** How long a call keeps its process busy. */
const computeMs = 5;

/** Computes for 5 ms in one of two processes, and says in which. */
export const work = defineService({
  name: "work",
  input: z.object({ n: z.number() }),
  output: z.object({ pid: z.number() }),
  call: () => {
    const end = performance.now() + computeMs;
    while (performance.now() < end);
    return { pid: process.pid };
  },
  policy: { placement: "process", workers: 2 },
});
