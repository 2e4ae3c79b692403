import { defineService } from "servable";
import { z } from "zod";

/** How long a call keeps its thread busy. */
const computeMs = 5;
let computed = 0;

/** Computes for 5 ms, one request at a time, and says how many it has computed so far. */
export const compute = defineService({
  name: "compute",
  input: z.object({ n: z.number() }),
  output: z.object({ n: z.number(), computed: z.number() }),
  call: ({ n }) => {
    computed++;
    const end = performance.now() + computeMs;
    while (performance.now() < end);
    return { n, computed };
  },
  policy: { placement: "thread", workers: 1, concurrency: 1, deadlineMs: 250 },
});
