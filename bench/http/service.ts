import { defineService } from "servable";
import { z } from "zod";

/** What the bench serves: one object in, the same object out, checked both ways. */
export const echo = defineService({
  name: "echo",
  input: z.object({ text: z.string(), n: z.number() }),
  output: z.object({ text: z.string(), n: z.number() }),
  call: ({ text, n }) => ({ text, n }),
});
